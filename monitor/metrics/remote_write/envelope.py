"""From a request body to an uncompressed message: content type, content encoding and the Snappy block."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import cramjam
import numpy as np
import numpy.typing as npt

from monitor.metrics.errors import IngestError

CONTENT_TYPE = "application/x-protobuf"
_PROTO_V1 = "prometheus.WriteRequest"
_PROTO_V2 = "io.prometheus.write.v2.Request"
_MOST_EXPANSION = 22
_SCRATCH_BYTES = 1 << 20
_SCRATCHES = 4

Bytes = npt.NDArray[np.uint8]


class Version(IntEnum):
    """The two remote write protocols."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may hold; more is refused with status 413 before memory is spent on it.

    `message_bytes` is the size after decompression; `series_bytes` that of one series with its samples.
    """

    message_bytes: int = 32 << 20
    series: int = 200_000
    samples: int = 500_000
    series_bytes: int = 1 << 20


def version_of(content_type: str) -> Version:
    """The protocol a content type asks for. Raises IngestError 415 for what is not remote write."""
    if content_type == CONTENT_TYPE:
        return Version.V1
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    proto = _PROTO_V1
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            proto = value.strip().strip('"')
    if kind.lower() != CONTENT_TYPE or proto not in {_PROTO_V1, _PROTO_V2}:
        raise IngestError(
            f"content type {content_type!r} is not supported", status=415, hint=f"send {CONTENT_TYPE}"
        )
    return Version.V2 if proto == _PROTO_V2 else Version.V1


def check_encoding(content_encoding: str) -> None:
    """Raises IngestError 415 for anything but Snappy."""
    if content_encoding != "snappy" and content_encoding.strip().lower() != "snappy":
        raise IngestError(
            f"content encoding {content_encoding!r} is not supported", status=415, hint="send snappy"
        )


def declared_length(body: bytes) -> int:
    """The decompressed length in a Snappy block header: a varint of at most 32 bits. Raises IngestError."""
    length = 0
    for at, byte in enumerate(body[:5]):
        length |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return length
    raise IngestError("not a snappy block: the length header is broken")


def checked_length(body: bytes, max_bytes: int) -> int:
    """The declared length, when a message of that length may be in the body. Raises IngestError 400 or 413."""
    length = declared_length(body)
    if length > max_bytes:
        raise IngestError(
            f"the request decompresses to {length} bytes, more than {max_bytes}",
            status=413,
            hint="send smaller requests",
        )
    if length > _MOST_EXPANSION * len(body):
        raise IngestError("the snappy block says it is longer than it can be")
    return length


class Scratch:
    """Memory for messages, used again and again: fresh memory costs more than decompressing into it."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: list[Bytes] = []

    def take(self, length: int) -> Bytes:
        """Memory for at least so many bytes; give it back afterwards."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(max(length, _SCRATCH_BYTES), np.uint8)
        return memory if len(memory) >= length else np.empty(length, np.uint8)

    def give(self, memory: Bytes) -> None:
        """Nobody looks at this memory any more."""
        if len(memory) == _SCRATCH_BYTES and len(self._free) < _SCRATCHES:
            self._free.append(memory)


def decompress(body: bytes, memory: Bytes, length: int) -> Bytes:
    """The message of a known length in a Snappy block, in the memory given. Raises IngestError."""
    data = memory[:length]
    try:
        written = cramjam.snappy.decompress_raw_into(body, data.data)
    except cramjam.DecompressionError as error:
        raise IngestError(f"not a snappy block: {error}") from error
    if written != length:
        raise IngestError("the snappy block is shorter than it says")
    return data

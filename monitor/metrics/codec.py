"""Columns of samples as bytes and back, bit-exact: integer deltas where a column holds integers, else floats.

A matrix is stored column by column (a column is a series or a group of time stamps). Layout, little endian: a
16-byte head (version, rows, columns, number of integer columns), then five sections, each with a u32 length:
presence bits, kind bits (1 = integer column), first values and deltas of the integer columns, and the floats.
The three number sections are pcodec streams. Source of the codec: https://github.com/pcodec/pcodec
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import cramjam
import numpy as np
from pcodec import ChunkConfig, DeltaSpec
from pcodec import standalone as pco

from monitor.errors import IntegrityError
from monitor.metrics.interface import Bools, Floats, Ints
from monitor.metrics.piece import HOLE, is_present

_HEAD = struct.Struct("<IIII")
_LENGTH = struct.Struct("<I")
_VERSION = 1
_LARGEST_INTEGER = 2.0**53
_MINUS_ZERO = np.uint64(1 << 63)


def pack_values(values: Floats) -> bytes:
    """A matrix [rows, columns] of values, HOLE where there is no sample."""
    present = is_present(values)
    whole = np.asarray((_is_integer(values) | ~present).all(0))
    columns = values.T
    integers = columns[whole][present.T[whole]].astype(np.int64)
    first, deltas = _differences(integers, present[:, whole].sum(0))
    floats = np.ascontiguousarray(columns[~whole][present.T[~whole]])
    return _pack(
        values.shape, whole, (_bits(present), _bits(whole), _pco(first), _deltas(deltas), _pco(floats))
    )


def unpack_values(data: bytes) -> Floats:
    """The matrix that was packed. Raises IntegrityError when the bytes are not such a matrix."""
    rows, columns, sections = _sections(data)
    present = _unbits(sections[0], rows * columns).reshape(columns, rows)
    whole = _unbits(sections[1], columns)
    integers = _sums(_integers(sections[2]), _integers(sections[3]), present[whole].sum(1))
    flat = np.full((columns, rows), HOLE, np.float64)
    mask = present & whole[:, None]
    flat[mask] = integers.astype(np.float64)
    flat[present & ~whole[:, None]] = _floats(sections[4])
    return np.ascontiguousarray(flat.T)


def pack_times(timestamps: Ints, rows: Ints) -> bytes:
    """Time stamps [k, g] of which group g has the first rows[g]."""
    present = np.arange(len(timestamps))[:, None] < rows
    first, deltas = _differences(timestamps.T[present.T], rows)
    whole = np.ones(timestamps.shape[1], np.bool_)
    return _pack(
        timestamps.shape, whole, (rows.astype("<i4").tobytes(), b"", _pco(first), _deltas(deltas), b"")
    )


def unpack_times(data: bytes) -> tuple[Ints, Ints]:
    """The time stamps [k, g] (0 in the rows a group does not have) and the rows of each group."""
    depth, columns, sections = _sections(data)
    rows = np.frombuffer(sections[0], "<i4").astype(np.int64)
    flat = np.zeros((columns, depth), np.int64)
    flat[np.arange(depth) < rows[:, None]] = _sums(_integers(sections[2]), _integers(sections[3]), rows)
    return np.ascontiguousarray(flat.T), rows


def _is_integer(values: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        exact = (np.rint(values) == values) & (np.abs(values) <= _LARGEST_INTEGER)
    return np.asarray(exact & (values.view(np.uint64) != _MINUS_ZERO))


def _differences(flat: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """First value of each non-empty column, and the steps after it (0 at the first)."""
    starts = (np.cumsum(counts) - counts)[counts > 0]
    deltas = np.diff(flat, prepend=0)
    deltas[starts] = 0
    return flat[starts], deltas


def _sums(first: Ints, deltas: Ints, counts: Ints) -> Ints:
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    sums = np.cumsum(deltas)
    return np.asarray(sums + np.repeat(first - sums[starts], counts[filled]))


def _pack(shape: tuple[int, ...], whole: Bools, sections: Sequence[bytes]) -> bytes:
    head = _HEAD.pack(_VERSION, shape[0], shape[1], int(whole.sum()))
    return head + b"".join(_LENGTH.pack(len(section)) + section for section in sections)


def _sections(data: bytes) -> tuple[int, int, list[bytes]]:
    version, rows, columns, _ = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise IntegrityError(f"a chunk has version {version}, this program reads {_VERSION}")
    sections = []
    at = _HEAD.size
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        sections.append(data[at : at + length])
        at += length
    return rows, columns, sections


def _bits(mask: Bools) -> bytes:
    """Bits column by column; nothing at all when every bit is set."""
    return b"" if mask.all() else bytes(cramjam.snappy.compress_raw(np.packbits(mask.T.ravel()).tobytes()))


def _unbits(data: bytes, count: int) -> Bools:
    if not data:
        return np.ones(count, np.bool_)
    packed = np.frombuffer(bytes(cramjam.snappy.decompress_raw(data)), np.uint8)
    return np.unpackbits(packed, count=count).astype(np.bool_)


def _pco(numbers: Ints | Floats) -> bytes:
    return bytes(pco.simple_compress(numbers, ChunkConfig())) if len(numbers) else b""


def _deltas(numbers: Ints) -> bytes:
    config = ChunkConfig(delta_spec=DeltaSpec.no_op())
    return bytes(pco.simple_compress(numbers, config)) if len(numbers) else b""


def _integers(data: bytes) -> Ints:
    return np.asarray(pco.simple_decompress(data), np.int64) if data else np.empty(0, np.int64)


def _floats(data: bytes) -> Floats:
    return np.asarray(pco.simple_decompress(data), np.float64) if data else np.empty(0, np.float64)

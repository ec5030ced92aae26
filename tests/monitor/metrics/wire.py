"""Remote write messages written byte by byte, and protobuf's own reading of them as the oracle."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

import cramjam
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from monitor.metrics.interface import Labels, SampleBlock, make_labels
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.protocol import remote_write_v2_pb2 as v2
from tests.monitor.metrics.oracle import bits_of

NOW = 1_795_262_400_000
Triple = tuple[Labels, int, int]


def varint(number: int, padding: int = 0) -> bytes:
    """A protobuf varint; `padding` bytes longer than it need be."""
    number &= (1 << 64) - 1
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F)
    groups += [0] * padding
    return bytes([group | 0x80 for group in groups[:-1]]) + bytes(groups[-1:])


def field(tag: int, content: bytes, padding: int = 0) -> bytes:
    """A field with a length."""
    return bytes([tag]) + varint(len(content), padding) + content


def label(name: bytes, value: bytes) -> bytes:
    """A label as a field of a series; empty texts are left out, as Go does."""
    return field(0x0A, (field(0x0A, name) if name else b"") + (field(0x12, value) if value else b""))


def sample(value: float, at: int, *, zeros: bool = False, swapped: bool = False, padding: int = 0) -> bytes:
    """A sample as a field of a series; zeros are left out unless wanted."""
    first = b"\x09" + struct.pack("<d", value) if zeros or bits_of(value) else b""
    second = b"\x10" + varint(at, padding) if zeros or at else b""
    return field(0x12, second + first if swapped else first + second)


def packed(raw: bytes) -> bytes:
    """A request body."""
    return bytes(cramjam.snappy.compress_raw(raw))


def triples(block: SampleBlock) -> list[Triple]:
    """The samples of a block: labels, time, bits of the value."""
    rows = zip(block.series.tolist(), block.timestamps.tolist(), block.values.tolist(), strict=True)
    return [(block.labels[code], at, bits_of(value)) for code, at, value in rows]


def flaw_of(pairs: Sequence[tuple[str, str]]) -> str:
    """Why a label set is refused, empty when it is sound."""
    names = [name for name, _ in pairs]
    if "" in names:
        return "empty_label_name"
    if any(names.count(name) > 1 for name in names):
        return "duplicate_label"
    return "" if any(name == "__name__" and value for name, value in pairs) else "no_metric_name"


def by_protobuf(raw: bytes) -> tuple[list[Triple], dict[str, int]] | None:
    """The samples of a message and the number of those refused by reason; None when it is none."""
    found: list[Triple] = []
    refused: Counter[str] = Counter()
    try:
        request = v1.WriteRequest.FromString(raw)
        for raw_note in v1.SplitRequest.FromString(raw).metadata:
            v1.MetricMetadata.FromString(raw_note)
        for series in request.timeseries:
            pairs = [(one.name, one.value) for one in map(v1.Label.FromString, series.labels)]
            if flaw := flaw_of(pairs):
                refused[flaw] += len(series.samples)
                continue
            labels = make_labels(dict(pairs))
            found += [(labels, one.timestamp, bits_of(one.value)) for one in series.samples]
    except DecodeError:
        return None
    return found, dict(refused)


def by_protobuf_v2(raw: bytes) -> tuple[list[Triple], dict[str, int]] | None:
    """The same for a message of 2.0, where references that lead nowhere spoil it all."""
    found: list[Triple] = []
    refused: Counter[str] = Counter()
    try:
        request = v2.Request.FromString(raw)
    except DecodeError:
        return None
    symbols = list(request.symbols)
    if symbols and symbols[0]:
        return None
    for series in request.timeseries:
        refs = list(series.labels_refs)
        said = [series.metadata.help_ref, series.metadata.unit_ref] if series.HasField("metadata") else []
        if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
            return None
        pairs = [(symbols[name], symbols[value]) for name, value in zip(refs[::2], refs[1::2], strict=True)]
        if flaw := flaw_of(pairs):
            refused[flaw] += len(series.samples)
            continue
        if any(ref >= len(symbols) for ref in said):
            return None
        found += [(make_labels(dict(pairs)), one.timestamp, bits_of(one.value)) for one in series.samples]
    return found, dict(refused)


TIMES = st.one_of(
    st.integers(NOW - 10**9, NOW + 10**9),
    st.sampled_from(
        [0, 1, -1, 127, 128, 2**35 - 1, 2**35, 2**42 - 1, 2**42, 2**56, 2**62, -(2**63), 2**63 - 1]
    ),
    st.integers(-(2**63), 2**63 - 1),
)
POLLED = st.integers(NOW - 10**9, NOW + 10**9)
VALUES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("nan")]), st.floats())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map(str.encode)
NAMES = st.one_of(TEXTS, st.sampled_from([b"", b"\xff", b"a", b"b", b"x" * 200, b"__name__"]))


@st.composite
def label_fields(draw: st.DrawFn) -> bytes:
    """Mostly a sound label set, sometimes anything."""
    if draw(st.integers(0, 5)):
        pairs = draw(st.dictionaries(TEXTS, TEXTS | st.just(b""), max_size=4)) | {b"__name__": b"up"}
        return b"".join(label(name, value) for name, value in sorted(pairs.items()))
    return b"".join(label(draw(NAMES), draw(NAMES)) for _ in range(draw(st.integers(0, 3))))


@st.composite
def sample_fields(draw: st.DrawFn) -> bytes:
    """Samples as some writer may write them."""
    polled = draw(st.booleans())
    times = POLLED if polled else TIMES
    samples = b""
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3]))):
        odd = not polled and draw(st.integers(0, 6)) == 0
        samples += sample(
            draw(VALUES),
            draw(times),
            zeros=draw(st.booleans()),
            swapped=odd and draw(st.booleans()),
            padding=1 if odd and draw(st.booleans()) else 0,
        )
    return samples


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A whole message, with now and then a field that is neither label nor sample."""
    raw = b""
    simple = draw(st.booleans())
    for _ in range(draw(st.integers(0, 6))):
        body = draw(label_fields())
        body += sample(draw(VALUES), draw(POLLED)) if simple else draw(sample_fields())
        if not simple and draw(st.integers(0, 9)) == 0:
            body += draw(st.sampled_from([b"\x1a\x00", b"\x22\x00", b"\x30\x01", b"\x1a", label(b"z", b"z")]))
        raw += field(0x0A, body, padding=int(not simple and draw(st.integers(0, 9)) == 0))
        if not simple and draw(st.integers(0, 9)) == 0:
            raw += draw(st.sampled_from([field(0x1A, b"\x12\x02up"), b"\x20\x01", b"\x1a\x02\x0a", b"\x07"]))
    return raw


@st.composite
def messages_v2(draw: st.DrawFn) -> bytes:
    """A message of 2.0, mostly as Prometheus writes it."""
    texts = draw(st.lists(st.text(max_size=5), max_size=4))
    symbols = ["", "__name__", "up", "device", "a", "b", *texts]
    if draw(st.integers(0, 9)) == 0:
        symbols[0] = "x"
    if draw(st.booleans()):
        symbols += [f"s{number}" for number in range(200)]
    raw = b"".join(field(0x22, symbol.encode()) for symbol in symbols)
    refs = st.sampled_from([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 150]]) if draw(st.booleans()) else REFS
    for _ in range(draw(st.integers(0, 5))):
        packed_refs = b"".join(map(varint, draw(refs)))
        body = field(0x0A, packed_refs) if packed_refs else b""
        body += draw(sample_fields()) if draw(st.booleans()) else sample(draw(VALUES), draw(POLLED))
        body += draw(
            st.sampled_from(
                [b"", b"", b"\x2a\x04\x08\x01\x18\x02", b"\x30\x05", b"\x1a\x00\x22\x00", b"\x08\x01"]
            )
        )
        raw += field(0x2A, body)
    return raw


REFS = st.lists(st.integers(0, 8) | st.sampled_from([100, 200, 205, 300, 2**32 - 1]), max_size=5)

"""Remote write requests: our own, other senders', and hostile ones."""

from __future__ import annotations

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.errors import IngestError
from monitor.metrics.interface import STALE, Labels, SampleBlock, block_of, make_labels
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.protocol import remote_write_v2_pb2 as v2
from monitor.metrics.remote_write import decode, encode

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"


def read(body: bytes, content_type: str = "application/x-protobuf", encoding: str = "snappy") -> SampleBlock:
    return decode(body, content_type=content_type, content_encoding=encoding)


def triples(block: SampleBlock) -> list[tuple[Labels, int, int]]:
    bits = block.values.view(np.uint64).tolist()
    codes = block.series.tolist()
    return [(block.labels[c], at, b) for c, at, b in zip(codes, block.timestamps.tolist(), bits, strict=True)]


def body_of(*series: list[tuple[str, str]]) -> bytes:
    request = v1.WriteRequest()
    for pairs in series:
        added = request.timeseries.add()
        added.labels.extend(v1.Label(name=name, value=value).SerializeToString() for name, value in pairs)
        added.samples.add(value=1.0, timestamp=5)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
LABELS = st.dictionaries(TEXT, TEXT, max_size=4).map(lambda labels: make_labels(labels, "m"))
FLOATS = st.one_of(st.floats(), st.just(STALE))


@given(st.lists(st.tuples(LABELS, st.integers(-(2**63), 2**63 - 1), FLOATS), max_size=20))
def test_what_is_encoded_comes_back_series_by_series(samples: list[tuple[Labels, int, float]]) -> None:
    block = block_of(samples)
    back = read(encode(block))
    order = {labels: i for i, labels in enumerate(block.labels)}
    assert triples(back) == sorted(triples(block), key=lambda sample: order[sample[0]])


def status_of(body: bytes, content_type: str = "application/x-protobuf") -> int:
    """The HTTP status a body would get; whatever else is raised fails the test."""
    try:
        read(body, content_type)
    except IngestError as error:
        return error.status
    return 200


@given(st.binary(max_size=200), st.sampled_from(["application/x-protobuf", V2]))
def test_any_bytes_are_read_or_refused(junk: bytes, content_type: str) -> None:
    assert status_of(junk, content_type) in {200, 400, 413}
    assert status_of(bytes(cramjam.snappy.compress_raw(junk)), content_type) in {200, 400}


@given(st.data())
def test_a_damaged_request_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(
        cramjam.snappy.decompress_raw(body_of([("__name__", "up"), ("a", "b")], [("__name__", "x")]))
    )
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert status_of(bytes(cramjam.snappy.compress_raw(bytes(raw)))) in {200, 400}


NOW = 1_795_262_400_000


@given(
    st.lists(
        st.tuples(LABELS, st.integers(NOW - 10**9, NOW + 10**9), FLOATS),
        unique_by=lambda s: s[0],
        max_size=20,
    )
)
def test_one_sample_a_series_as_pollers_send_it(samples: list[tuple[Labels, int, float]]) -> None:
    """Takes the short way; the long way is the oracle: a series without samples makes a request take it."""
    block = block_of(samples)
    body = encode(block)
    assert triples(read(body)) == triples(block)
    request = v1.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    request.timeseries.add(labels=[v1.Label(name="__name__", value="none").SerializeToString()])
    long_way = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    assert triples(read(long_way)) == triples(block)
    if 0.0 not in block.values:
        request = v1.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
        assert request.SerializeToString() == bytes(cramjam.snappy.decompress_raw(body))


def test_a_label_that_looks_like_a_sample_is_still_a_label() -> None:
    tail = b"\x12\x10\x09" + bytes(8) + b"\x10" + "中éa".encode()
    request = v1.WriteRequest()
    request.timeseries.add(labels=[v1.Label(name="__name__", value="up").SerializeToString() + tail])
    # The bytes end like a sample but lie inside a label field: there is no sample in this request.
    assert len(read(bytes(cramjam.snappy.compress_raw(request.SerializeToString()))).series) == 0


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    body = bytes(cramjam.snappy.compress_raw(bytes(1 << 20)))
    with pytest.raises(IngestError) as caught:
        decode(body, content_type="application/x-protobuf", content_encoding="snappy", max_bytes=1 << 19)
    assert caught.value.status == 413
    assert status_of(b"\xff\xff\xff\xff\x0f" + body[4:]) == 413
    assert status_of(b"\x80\x80\x80\x10") == 400


@pytest.mark.parametrize("body", [b"", b"\x80", b"\xff" * 10, b"\x05\x00", b"hello world"])
def test_what_is_not_snappy_is_refused(body: bytes) -> None:
    with pytest.raises(IngestError) as caught:
        read(body)
    assert caught.value.status in {400, 413}


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/json", "snappy"),
        ("application/x-protobuf;proto=other.Message", "snappy"),
        ("", "snappy"),
        ("application/x-protobuf", "gzip"),
        ("application/x-protobuf", ""),
    ],
)
def test_other_formats_are_refused_as_unsupported(content_type: str, encoding: str) -> None:
    with pytest.raises(IngestError) as caught:
        read(body_of(), content_type, encoding)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "content_type", ["application/x-protobuf", "Application/X-Protobuf; proto=prometheus.WriteRequest"]
)
def test_content_types_of_1_0(content_type: str) -> None:
    assert len(read(body_of([("__name__", "up")]), content_type, "Snappy").series) == 1


@pytest.mark.parametrize(
    "pairs",
    [
        [("__name__", "up"), ("", "x")],
        [("__name__", "up"), ("a", "1"), ("a", "2")],
        [("a", "1")],
        [("__name__", "")],
        [],
    ],
)
def test_label_sets_that_are_not_canonical_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(IngestError) as caught:
        read(body_of(pairs))
    assert caught.value.status == 400


def test_a_label_with_an_empty_value_is_no_label() -> None:
    assert read(body_of([("__name__", "up"), ("a", "")])).labels == ((("__name__", "up"),),)


def test_labels_may_come_in_any_order() -> None:
    labels = make_labels({"a": "1", "b": "2"}, "up")
    for pairs in (
        list(labels),
        list(reversed(labels)),
        [("b", "2"), ("c", ""), ("__name__", "up"), ("a", "1")],
    ):
        assert read(body_of(pairs)).labels == (labels,)


def test_a_series_without_samples_is_left_out() -> None:
    request = v1.WriteRequest()
    request.timeseries.add(labels=[v1.Label(name="__name__", value="up").SerializeToString()])
    assert read(bytes(cramjam.snappy.compress_raw(request.SerializeToString()))).labels == ()


def request_v2(refs: list[int], symbols: tuple[str, ...] = ("", "__name__", "up", "job", "snmp")) -> bytes:
    request = v2.Request(symbols=symbols)
    series = request.timeseries.add(labels_refs=refs)
    series.samples.add(value=2.5, timestamp=7)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def test_2_0_is_read_through_its_symbols() -> None:
    block = read(request_v2([1, 2, 3, 4]), V2)
    assert block.labels == (make_labels({"job": "snmp"}, "up"),)
    assert (block.timestamps.tolist(), block.values.tolist()) == ([7], [2.5])


@pytest.mark.parametrize("refs", [[1], [1, 99], [3, 4], [1, 2, 0, 2], [1, 2, 3, 4, 3, 4]])
def test_2_0_with_references_that_make_no_label_set_is_refused(refs: list[int]) -> None:
    with pytest.raises(IngestError) as caught:
        read(request_v2(refs), V2)
    assert caught.value.status == 400


def test_2_0_symbols_begin_with_the_empty_string() -> None:
    with pytest.raises(IngestError, match="first symbol"):
        read(request_v2([1, 2], ("x", "__name__", "up")), V2)

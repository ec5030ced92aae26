"""The quick ways of reading a remote write message against protobuf's own, sound messages and damaged ones."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.errors import IngestError
from monitor.metrics.interface import make_labels
from monitor.metrics.remote_write import CONTENT_TYPE, Decoder, Received, RequestLimits
from tests.monitor.metrics.wire import (
    NOW,
    by_protobuf,
    by_protobuf_v2,
    field,
    label,
    messages,
    messages_v2,
    packed,
    sample,
    triples,
    varint,
)

V1 = CONTENT_TYPE
V2 = f"{CONTENT_TYPE};proto=io.prometheus.write.v2.Request"


def read(decoder: Decoder, raw: bytes, kind: str = V1) -> Received:
    return decoder.decode(packed(raw), content_type=kind, content_encoding="snappy")


def agrees(decoder: Decoder, raw: bytes, kind: str = V1) -> None:
    """The decoder reads what protobuf reads, and refuses what protobuf refuses."""
    expected = by_protobuf(raw) if kind == V1 else by_protobuf_v2(raw)
    if expected is None:
        with pytest.raises(IngestError) as caught:
            read(decoder, raw, kind)
        assert caught.value.status == 400
        return
    received = read(decoder, raw, kind)
    assert triples(received.block) == expected[0]
    assert {reason: refusal.samples for reason, refusal in received.refusals.items()} == expected[1]


@given(messages())
@settings(max_examples=300)
def test_any_message_is_read_as_protobuf_reads_it(raw: bytes) -> None:
    decoder = Decoder()
    agrees(decoder, raw)
    agrees(decoder, raw)


@given(messages_v2())
@settings(max_examples=300)
def test_any_message_of_2_0_is_read_as_protobuf_reads_it(raw: bytes) -> None:
    decoder = Decoder()
    agrees(decoder, raw, V2)
    agrees(decoder, raw, V2)


@pytest.mark.parametrize("kind", [V1, V2])
@given(data=st.data())
@settings(max_examples=200)
def test_damaged_messages_are_read_as_protobuf_reads_them(kind: str, data: st.DataObject) -> None:
    """After the sound one, whose labels and layout the decoder then knows."""
    decoder = Decoder()
    raw = bytearray(data.draw(messages() if kind == V1 else messages_v2()))
    agrees(decoder, bytes(raw), kind)
    for _ in range(4):
        damaged = bytearray(raw)
        for _ in range(data.draw(st.integers(1, 3))):
            if damaged:
                at = data.draw(st.integers(0, len(damaged) - 1))
                damaged[at] = data.draw(
                    st.sampled_from([0, 1, 9, 10, 16, 18, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
                )
        cut = data.draw(st.integers(0, 8))
        agrees(decoder, bytes(damaged[: len(damaged) - cut] if cut < 3 else damaged), kind)


def series(number: int, *samples: bytes) -> bytes:
    labels = label(b"__name__", b"up") + label(b"device", f"sw-{number:04d}".encode())
    return field(0x0A, labels + b"".join(samples))


def polled(at: int, values: list[float]) -> bytes:
    return b"".join(series(number, sample(value, at)) for number, value in enumerate(values))


def test_a_layout_that_repeats_brings_the_same_label_lists() -> None:
    decoder = Decoder()
    first, second = polled(NOW, [1.0, 2.0, 0.0, 4.0]), polled(NOW + 60_000, [5.0, float("nan"), 0.0, 7.5])
    blocks = [read(decoder, raw).block for raw in (first, second)]
    assert blocks[0].labels is blocks[1].labels
    assert blocks[0].series is blocks[1].series
    for block, raw in zip(blocks, (first, second), strict=True):
        expected = by_protobuf(raw)
        assert expected is not None
        assert triples(block) == expected[0]


def test_zeros_that_come_and_go_leave_the_label_lists_alone() -> None:
    decoder = Decoder()
    raws = [polled(NOW + n, [float(n & bit) for bit in (1, 2, 4)]) for n in range(8)]
    blocks = [read(decoder, raw).block for raw in raws]
    assert len({len(raw) for raw in raws}) == 4
    assert all(block.labels is blocks[0].labels for block in blocks)
    for raw in raws:
        agrees(decoder, raw)


def polled_v2(at: int, values: list[float], symbols: int = 10) -> bytes:
    texts = ["", "__name__", "up", "device", *(f"sw-{number:04d}" for number in range(symbols))]
    raw = b"".join(field(0x22, text.encode()) for text in texts)
    for number, value in enumerate(values):
        refs = field(0x0A, bytes([1, 2, 3]) + varint(4 + number))
        raw += field(0x2A, refs + sample(value, at) + field(0x2A, b"\x08\x02") + b"\x30\x07")
    return raw


@pytest.mark.parametrize("count", [3, 300])
def test_a_layout_of_2_0_that_repeats_as_well(count: int) -> None:
    decoder = Decoder()
    raws = [
        polled_v2(NOW + minute, [float(minute + n) for n in range(1, count)], count) for minute in range(3)
    ]
    for raw in raws:
        agrees(decoder, raw, V2)
    blocks = [read(decoder, raw, V2).block for raw in raws]
    assert blocks[0].labels is blocks[2].labels
    damaged = raws[1].replace(b"sw-0001", b"sw-0\xff01")
    agrees(decoder, damaged, V2)


def test_a_series_is_the_same_object_by_either_protocol() -> None:
    decoder = Decoder()
    one = read(decoder, polled(NOW, [1.0])).block.labels[0]
    assert read(decoder, polled_v2(NOW, [1.0]), V2).block.labels[0] is one


def test_symbols_that_look_like_series_are_symbols() -> None:
    """A symbol that contains a serialised series, byte for byte the one that follows."""
    body = field(0x2A, field(0x0A, bytes([1, 2])) + sample(1.5, NOW, zeros=True))
    symbols = b"".join(field(0x22, text) for text in (b"", b"__name__", b"up"))
    decoder = Decoder()
    for raw in (symbols + body, body + symbols, symbols + field(0x22, b"x") + body + field(0x22, b"y")):
        for value in (1.5, 2.5):
            agrees(decoder, raw.replace(sample(1.5, NOW), sample(value, NOW)), V2)


def test_another_layout_of_the_same_length_is_told_apart() -> None:
    decoder = Decoder()
    one = polled(NOW, [1.0] * 3)
    other = one.replace(b"sw-0001", b"sw-0007")
    swapped = one.replace(b"sw-0001", b"sw-000\xff")
    for raw in (one, other, one, other, swapped, one):
        agrees(decoder, raw)
    assert read(decoder, one).block.labels is read(decoder, one).block.labels
    assert read(decoder, one).block.labels != read(decoder, other).block.labels


def test_every_byte_but_values_and_times_counts() -> None:
    """A known layout with any single bit changed is read as protobuf reads it."""
    raw = polled(NOW, [1.0, 2.0])
    decoder = Decoder()
    agrees(decoder, raw)
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            agrees(decoder, bytes(changed))


@given(
    st.lists(st.tuples(st.floats(), st.integers(2**35, 2**42 - 1)), min_size=1, max_size=60), st.booleans()
)
def test_several_samples_a_series_repeat_as_well(samples: list[tuple[float, int]], zeros: bool) -> None:
    decoder = Decoder()
    third = len(samples) // 3
    for shift in (0, 1):
        fields = [sample(value, at ^ shift, zeros=zeros) for value, at in samples]
        agrees(decoder, series(1, *fields[:third]) + series(2, *fields[third:]))


def test_label_sets_are_the_same_objects_in_different_layouts() -> None:
    decoder = Decoder()
    one = read(decoder, polled(NOW, [1.0, 2.0])).block
    other = read(decoder, polled(NOW, [1.0, 2.0, 3.0])).block
    third = read(decoder, series(1, sample(1.0, NOW), sample(2.0, NOW + 1))).block
    assert one.labels[1] is other.labels[1] is third.labels[0]
    assert one.labels[1] == make_labels({"device": "sw-0001"}, "up")


def test_what_is_remembered_is_bounded() -> None:
    decoder = Decoder(cache_bytes=40_000, template_bytes=10_000)
    for round_ in range(60):
        raw = b"".join(series(100 * round_ + number, sample(1.0, NOW)) for number in range(20))
        agrees(decoder, raw)
        assert decoder.remembered_bytes <= 50_000
    agrees(decoder, polled(NOW, [1.0, 2.0]))


def test_a_decoder_serves_several_threads() -> None:
    decoder = Decoder(cache_bytes=100_000, template_bytes=4_000)
    bodies = [b"".join(series(n, sample(float(n), NOW)) for n in range(k, k + 40)) for k in range(0, 400, 20)]
    wrong: list[str] = []

    def work(step: int) -> None:
        for turn in range(60):
            raw = bodies[turn * step % len(bodies)]
            expected = by_protobuf(raw)
            if expected is None or triples(read(decoder, raw).block) != expected[0]:
                wrong.append(raw.hex())

    threads = [threading.Thread(target=work, args=(step,)) for step in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_metadata_exemplars_and_histograms_are_noticed() -> None:
    note = field(0x1A, b"\x08\x01" + field(0x12, b"up_total") + field(0x22, b"Ups.") + field(0x2A, b"ups"))
    received = read(
        Decoder(),
        note + series(1, sample(1.0, NOW), field(0x1A, b""), field(0x22, b""), field(0x22, b"")),
    )
    assert (received.exemplars, received.histograms, len(received.block.series)) == (1, 2, 1)
    ((metric, info),) = received.notes
    assert (metric, info.type, info.help, info.unit) == ("up_total", "counter", "Ups.", "ups")


def test_one_flawed_series_leaves_the_others() -> None:
    flawed = field(0x0A, label(b"device", b'a"b') + sample(1.0, NOW) + sample(2.0, NOW + 1))
    received = read(Decoder(), polled(NOW, [1.0, 2.0]) + flawed)
    assert len(received.block.series) == 2
    refusal = received.refusals["no_metric_name"]
    assert (refusal.samples, refusal.example) == (2, '{device="a\\"b"}')


SMALL = RequestLimits(message_bytes=1 << 16, series=100, samples=200, series_bytes=1000)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a\x00" * 101,
        series(1, sample(1.0, NOW) * 100),
        b"".join(series(n, sample(1.0, NOW) * 3) for n in range(80)),
        b"".join(series(n, sample(1.0, NOW) * 30) for n in range(10)),
        series(1, b"\x12\x00" * 201),
        series(1, b"\x12\x00" * 201, b"\x30\x01"),
        series(1, label(b"a", b"x" * 1000)),
        bytes(1 << 17),
    ],
)
def test_too_much_is_refused_as_too_large(raw: bytes) -> None:
    with pytest.raises(IngestError) as caught:
        read(Decoder(SMALL), raw)
    assert caught.value.status == 413


def test_many_tiny_fields_in_a_large_message_are_counted_before_protobuf_sees_them() -> None:
    for raw in (b"\x0a\x00" * (3 << 20), b"\x1a\x00" * (3 << 20)):
        with pytest.raises(IngestError) as caught:
            read(Decoder(), raw)
        assert caught.value.status == 413


@given(st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
def test_a_time_of_any_length(at: int, value: float, zeros: bool) -> None:
    agrees(Decoder(), series(1, sample(value, at, zeros=zeros)))


def test_times_longer_than_64_bits_are_for_protobuf_to_judge() -> None:
    for time in (
        varint(-1)[:-1] + b"\x03",
        b"\xff" * 9,
        b"\xff" * 10 + b"\x01",
        b"\xff" * 11,
        varint(5, padding=8),
    ):
        body = b"\x09" + struct.pack("<d", 1.5) + b"\x10" + time
        agrees(Decoder(), series(1, field(0x12, body)))


def test_a_sample_with_much_else_in_it_is_still_a_sample() -> None:
    long = field(0x12, sample(1.5, NOW, zeros=True)[2:] + field(0x7A, b"x" * 200))
    agrees(Decoder(), series(1, long) + series(2, sample(1.0, NOW)))
    symbols = b"".join(field(0x22, text) for text in (b"", b"__name__", b"up"))
    agrees(Decoder(), symbols + field(0x2A, field(0x0A, bytes([1, 2])) + long), V2)


def test_an_empty_message_has_no_samples() -> None:
    assert len(read(Decoder(), b"").block.series) == 0
    assert read(Decoder(), b"").block.labels == ()

"""The fast encoder against the reference: what it writes is read back bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.wire import RowEncoder, SampleEncoder, pack_rows
from monitor.metrics.interface import STALE, Labels, SampleBlock, block_of, make_labels
from monitor.metrics.remote_write import decode, encode

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
label_sets = st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), words, max_size=4)
samples = st.lists(
    st.tuples(
        label_sets.map(lambda labels: make_labels(labels, "m")), st.integers(-(2**62), 2**62), st.floats()
    ),
    max_size=20,
)


def flat(block: SampleBlock) -> list[tuple[Labels, int, int]]:
    return sorted(
        (block.labels[code], int(at), int(bits))
        for code, at, bits in zip(block.series, block.timestamps, block.values.view(np.uint64), strict=True)
    )


def read(body: bytes) -> SampleBlock:
    return decode(body, content_type="application/x-protobuf", content_encoding="snappy")


@given(samples)
def test_it_reads_back_as_what_the_reference_writes(given_samples: list[tuple[Labels, int, float]]) -> None:
    encoder = SampleEncoder()
    body = encoder.encode(given_samples)
    assert flat(read(body)) == flat(read(encode(block_of(given_samples))))
    assert encoder.encode(given_samples) == body, "remembered labels change nothing"


def test_the_stale_marker_and_long_labels() -> None:
    labels = make_labels({"text": "长" * 5000}, "m")
    block = read(SampleEncoder().encode([(labels, 1_795_262_400_000, STALE)]))
    assert block.labels == (labels,)
    assert flat(block) == [(labels, 1_795_262_400_000, 0x7FF0000000000002)]


rows = st.lists(
    st.tuples(label_sets.map(lambda labels: make_labels(labels, "m")), st.floats()),
    max_size=30,
    unique_by=lambda pair: pair[0],
)
YEAR_2004, YEAR_2109 = 2**40, 2**42 - 1


@given(rows, st.lists(st.integers(YEAR_2004, YEAR_2109), min_size=1, max_size=3))
def test_a_row_reads_back_as_its_samples(pairs: list[tuple[Labels, float]], times: list[int]) -> None:
    encoder = RowEncoder([labels for labels, _ in pairs])
    assert len(encoder) == len(pairs)
    values = np.array([value for _, value in pairs], np.float64)
    parts = [encoder.encode(at, values) for at in times]
    samples = [(labels, at, value) for at in times for labels, value in pairs]
    assert flat(read(pack_rows(parts))) == flat(read(SampleEncoder().encode(samples)))


def test_a_row_keeps_nothing_of_the_poll_before() -> None:
    encoder = RowEncoder([make_labels({"a": "x"}, "m"), make_labels({"b": "y"}, "n")])
    encoder.encode(1_795_262_400_000, np.array([1e300, STALE]))
    block = read(pack_rows([encoder.encode(1_795_262_460_000, np.array([3.0, -4.0]))]))
    assert block.values.tolist() == [3.0, -4.0]
    assert set(block.timestamps.tolist()) == {1_795_262_460_000}

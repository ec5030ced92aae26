"""The fast encoder against the reference: what it writes is read back bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.wire import SampleEncoder
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

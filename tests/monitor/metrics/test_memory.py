"""MemoryStore keeps the contract of MetricStore."""

from __future__ import annotations

import pytest

from monitor.metrics.interface import STALE, Matcher, MatchOp, block_of, is_stale, make_labels
from monitor.metrics.memory import MemoryStore

A = make_labels({"site": "h1", "device": "a"}, "up")
B = make_labels({"site": "h2", "device": "b"}, "up")
NAME = Matcher("__name__", MatchOp.EQ, "up")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    made.append(block_of([(A, 1000, 1.0), (A, 2000, 0.0), (B, 2000, 5.0), (A, 3000, STALE)]))
    return made


def test_window_is_left_open_and_time_major(store: MemoryStore) -> None:
    window = store.window([NAME], 1000, 3000)
    assert list(window.labels) == [A, B]
    assert window.present.tolist() == [[True, True], [True, False]]
    times = window.timestamps[:, window.group]
    assert times[window.present].tolist() == [2000, 2000, 3000]
    assert window.values[0].tolist() == [0.0, 5.0]
    assert is_stale(window.values)[1, 0]


def test_series_without_samples_are_left_out(store: MemoryStore) -> None:
    assert list(store.window([NAME], 0, 1000).labels) == [A]
    empty = store.window([NAME], 5000, 9000)
    assert (list(empty.labels), empty.values.shape) == ([], (0, 0))


@pytest.mark.parametrize(
    ("op", "value", "found"),
    [
        (MatchOp.EQ, "h1", [A]),
        (MatchOp.NE, "h1", [B]),
        (MatchOp.RE, "h.", [A, B]),
        (MatchOp.RE, "h", []),
        (MatchOp.NRE, "h1|x", [B]),
    ],
)
def test_matchers_are_anchored(store: MemoryStore, op: MatchOp, value: str, found: list[object]) -> None:
    assert list(store.window([Matcher("site", op, value)], 0, 9000).labels) == found


def test_a_missing_label_is_empty(store: MemoryStore) -> None:
    assert len(store.series([NAME, Matcher("nothing", MatchOp.EQ, "")], 0, 9000)) == 2
    assert store.series([NAME, Matcher("nothing", MatchOp.RE, ".+")], 0, 9000) == []


def test_append_counts(store: MemoryStore) -> None:
    result = store.append(block_of([(B, 2000, 5.0), (B, 2000, 6.0), (B, 1000, 1.0), (B, 2500, 1.0)]))
    assert (result.accepted, result.duplicate, result.rejected) == (1, 1, 2)
    assert result.reasons == {"conflicting": 1, "out_of_order": 1}
    assert store.stats() == {"series": 2.0, "samples_appended": 5.0}


def test_names_and_values(store: MemoryStore) -> None:
    assert store.label_names([], 0, 9000) == ["__name__", "device", "site"]
    assert store.label_values("site", [NAME], 0, 9000) == ["h1", "h2"]
    assert store.label_values("site", [NAME], 0, 1500) == ["h1"]
    store.sync()
    store.close()
    assert store.series([], 0, 9000) == []

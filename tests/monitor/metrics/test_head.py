"""What may be appended, how it is judged, and which series match."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.assemble import assemble
from monitor.metrics.cardinality import Cardinality
from monitor.metrics.errors import QueryError
from monitor.metrics.head import Head
from monitor.metrics.index import SeriesIndex
from monitor.metrics.interface import (
    STALE,
    AppendResult,
    Labels,
    Matcher,
    MatchOp,
    SampleBlock,
    Window,
    block_of,
    make_labels,
)
from monitor.metrics.judging import MAX_AHEAD_MS
from tests.monitor.metrics.oracle import Oracle, bits_of, contents, satisfies, selected

NOW = 1_795_262_400_000
UP = make_labels({"job": "snmp", "device": "a"}, "up")
EVERYTHING: list[Matcher] = []


def add(head: Head, *samples: tuple[Labels, int, float], newest: int = NOW + MAX_AHEAD_MS) -> AppendResult:
    judged = head.judge(block_of(samples), NOW - 1_000_000_000, newest)
    head.store(judged.series, judged.timestamps, judged.values)
    return judged.result


def window(head: Head, after: int = 0, until: int = NOW * 2) -> Window:
    series = head.index.select(EVERYTHING)
    return assemble([head.index.labels[n] for n in series], series, [head.extract(series, after, until)])


def test_the_same_sample_again_is_a_duplicate() -> None:
    head = Head()
    assert add(head, (UP, NOW, 1.0)) == AppendResult(1)
    assert add(head, (UP, NOW, 1.0)) == AppendResult(0, 1)
    assert add(head, (UP, NOW + 1, 2.0), (UP, NOW + 1, 2.0)) == AppendResult(1, 1)


def test_an_older_sample_sent_again_is_a_duplicate_too() -> None:
    head = Head()
    add(head, *((UP, NOW + i, float(i)) for i in range(5)))
    assert add(head, *((UP, NOW + i, float(i)) for i in range(6))) == AppendResult(1, 5)


def test_another_value_at_the_same_time_is_a_conflict_and_the_first_stays() -> None:
    head = Head()
    add(head, (UP, NOW, 1.0), (UP, NOW + 5, 1.0))
    assert add(head, (UP, NOW + 5, 2.0)) == AppendResult(0, 0, 1, {"conflicting": 1}, {"conflicting": UP})
    assert add(head, (UP, NOW, 2.0)) == AppendResult(0, 0, 1, {"conflicting": 1}, {"conflicting": UP})
    assert add(head, (UP, NOW + 9, 1.0), (UP, NOW + 9, 2.0)).reasons == {"conflicting": 1}
    assert contents(window(head)) == {
        UP: [(NOW, bits_of(1.0)), (NOW + 5, bits_of(1.0)), (NOW + 9, bits_of(1.0))]
    }


def test_rejected_samples_are_counted_by_reason_and_the_rest_of_the_block_is_kept() -> None:
    head = Head()
    down = make_labels({"job": "snmp", "device": "b"}, "up")
    add(head, (UP, NOW, 1.0))
    many = tuple((f"l{i:03}", "x") for i in range(65))
    result = add(
        head,
        (UP, NOW - 1, 1.0),
        (UP, NOW - 1_000_000_001, 1.0),
        (UP, NOW + MAX_AHEAD_MS + 1, 1.0),
        (UP, NOW + MAX_AHEAD_MS, 1.0),
        (many, NOW, 1.0),
        (make_labels({"x": "v" * 5000}, "up"), NOW, 1.0),
        ((("b", "1"), ("a", "1")), NOW, 1.0),
        ((), NOW, 1.0),
        (down, NOW, 1.0),
    )
    assert result.accepted == 2
    assert result.rejected == 7
    assert result.reasons == {
        "out_of_order": 1,
        "too_old": 1,
        "too_far_ahead": 1,
        "too_many_labels": 1,
        "label_too_long": 1,
        "invalid_labels": 2,
    }
    assert set(contents(window(head))) == {UP, down}


def test_too_many_series_are_refused_but_known_ones_go_on() -> None:
    head = Head(Cardinality(limit=2))
    names = [make_labels({}, f"m{i}") for i in range(3)]
    assert add(head, *((name, NOW, 1.0) for name in names)).reasons == {"too_many_series": 1}
    assert add(head, *((name, NOW + 1, 1.0) for name in names)).accepted == 2


def test_special_values_are_kept_bit_by_bit() -> None:
    head = Head()
    values = [float("nan"), STALE, -0.0, float("inf"), 5e-324]
    add(head, *((UP, NOW + i, value) for i, value in enumerate(values)))
    add(
        head,
        (make_labels({}, "nan"), NOW, float(np.array([0xFFF8000000000123], np.uint64).view(np.float64)[0])),
    )
    found = contents(window(head))
    assert [bits for _, bits in found[UP]] == [bits_of(value) for value in values]
    assert found[make_labels({}, "nan")] == [(NOW, 0x7FF8000000000001)]


def test_series_of_a_device_share_their_time_stamps() -> None:
    head = Head()
    series = [make_labels({"job": "snmp", "device": f"d{d}"}, f"m{m}") for d in range(3) for m in range(4)]
    for row in range(5):
        add(head, *((labels, NOW + row * 1000 + i // 4, row) for i, labels in enumerate(series)))
    found = window(head)
    assert found.timestamps.shape == (5, 3)
    assert found.present.all()


def test_many_series_of_one_target() -> None:
    head = Head()
    count = 5000
    labels = tuple(make_labels({"job": "j", "i": str(i)}, "m") for i in range(count))
    codes = np.arange(count, dtype=np.int32)
    for row in range(3):
        block = SampleBlock(labels, codes, np.full(count, NOW + row), codes + row * 0.5)
        head.store(*(lambda j: (j.series, j.timestamps, j.values))(head.judge(block, 0, NOW + 10)))
    found = window(head)
    assert found.present.all()
    assert (found.values == codes + np.arange(3)[:, None] * 0.5).all()


def test_one_busy_series_does_not_deepen_the_table_of_a_thousand_quiet_ones() -> None:
    head = Head()
    quiet = [make_labels({"job": "j", "device": str(i)}, "m") for i in range(1000)]
    add(head, *((labels, NOW, 1.0) for labels in [*quiet, UP]))
    times = range(NOW - 100_000_000, NOW, 500)
    busy = make_labels({"job": "j", "device": "0"}, "busy")
    assert add(head, *((busy, at, 2.0) for at in times)).accepted == 200_000
    assert head.numbers()["head_bytes"] < 20e6
    # One series at a time: the window of all of them would be a matrix of 200,000 rows by 1,002 columns.
    series = np.array([head.index.number(busy)], np.int32)
    found = contents(assemble([busy], series, [head.extract(series, 0, NOW)]))
    assert found[busy] == [(at, bits_of(2.0)) for at in times]
    head.drop_before(NOW - 10_000)
    found = contents(window(head))
    assert (len(found[busy]), len(found)) == (20, 1002)
    assert head.numbers()["head_bytes"] < 2e6


SERIES = [make_labels({"job": "j", "device": f"d{i % 3}", "x": str(i)}, f"m{i % 2}") for i in range(6)]
SAMPLES = st.tuples(
    st.sampled_from(SERIES),
    st.integers(0, 40),
    st.sampled_from([0.0, 1.0, -0.0, 2.5, float("nan"), STALE]),
)


@given(
    st.lists(st.lists(SAMPLES, max_size=30), max_size=12),
    st.integers(-2, 41),
    st.integers(0, 43),
    st.sampled_from([1, 400, 1000, 1337, 20_000, 60_000, 61_000, 450_000, 4_000_000]),
)
def test_any_blocks_in_any_order_against_a_dictionary(
    blocks: list[list[tuple[Labels, int, float]]], after: int, length: int, pace: int
) -> None:
    head, oracle = Head(), Oracle()
    for block in blocks:
        paced = [(labels, NOW + at * pace + (at % 3) * (pace // 50), value) for labels, at, value in block]
        result = add(head, *paced, newest=NOW * 2)
        assert (result.accepted, result.duplicate, result.rejected) == oracle.append(paced)
        assert result.rejected == sum(result.reasons.values())
    after, until = NOW + after * pace, NOW + (after + length) * pace
    expected = oracle.window(EVERYTHING, after, until)
    assert contents(window(head, after, until)) == expected
    assert selected(head.select(EVERYTHING, after, until), after, until) == expected
    head.drop_before(after)
    assert contents(window(head)) == oracle.window(EVERYTHING, after - 1, NOW * 2)
    late = [(SERIES[i % 6], NOW + (50 + i) * pace, float(i)) for i in range(60)]
    assert add(head, *late, newest=NOW * 2).accepted == 60
    oracle.append(late)
    assert contents(window(head)) == oracle.window(EVERYTHING, after - 1, NOW * 2)
    some = [Matcher("device", MatchOp.EQ, "d1")]
    assert selected(head.select(some, after - 1, NOW * 2), after - 1, NOW * 2) == oracle.window(
        some, after - 1, NOW * 2
    )


def test_label_values_that_never_come_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.metrics.head._SPARE_VALUES", 10)
    head = Head()
    some = [Matcher("run", MatchOp.RE, "r.*")]
    for hour in range(20):
        at = NOW + hour * 3_600_000
        runs = [make_labels({"job": "j", "run": f"r{hour}-{i}"}, "m") for i in range(50)]
        assert add(head, *((labels, at, 1.0) for labels in runs), newest=NOW * 2).accepted == 50
        assert len(selected(head.select(some, at - 1, at), at - 1, at)) == 50
        head.drop_before(at - 1)
        head.forget(at - 1)
        assert len(head.dictionary) < 250
        assert head.numbers()["series"] == 50


VALUES = ["", "a", "ab", "b", "a\nb", "中文", "."]
LABEL_SETS = st.lists(
    st.dictionaries(st.sampled_from(["x", "y", "__name__"]), st.sampled_from(VALUES))
    .map(make_labels)
    .filter(bool),
    unique=True,
    max_size=12,
)
MATCHERS = st.lists(
    st.builds(
        Matcher,
        st.sampled_from(["x", "y", "__name__", "absent"]),
        st.sampled_from(MatchOp),
        st.sampled_from([*VALUES[:4], ".*", ".+", "a|b", "a?", "a.b", "[^a]*"]),
    ),
    max_size=4,
)


@given(LABEL_SETS, MATCHERS)
def test_matchers_against_python(label_sets: list[Labels], matchers: list[Matcher]) -> None:
    index = SeriesIndex()
    for labels in label_sets:
        index.add(labels)
    expected = [i for i, labels in enumerate(label_sets) if all(satisfies(labels, m) for m in matchers)]
    assert index.select(matchers).tolist() == expected
    if expected:
        index.remove(expected[:1])
        assert index.select(matchers).tolist() == expected[1:]


def test_a_bad_regex_is_a_query_error() -> None:
    with pytest.raises(QueryError, match="missing \\)"):
        SeriesIndex().select([Matcher("x", MatchOp.RE, "(")])

"""Classic histograms as arrays, against the same arithmetic written plainly, bucket by bucket."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import STALE, Vector, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql import PromqlEngine
from monitor.metrics.promql.functions import buckets

Buckets = list[tuple[float, float]]


def plain_quantile(wanted: float, counts: Buckets) -> float:
    if not 0 <= wanted <= 1:
        return math.copysign(math.inf, wanted)
    if counts[-1][0] != math.inf:
        return math.nan
    fixed: Buckets = []
    highest = counts[0][1]
    for bound, count in counts:
        if not math.isclose(count, highest, rel_tol=1e-12, abs_tol=0):
            highest = max(highest, count)
        fixed.append((bound, highest))
    total = fixed[-1][1]
    if len(fixed) < 2 or total == 0:
        return math.nan
    rank = wanted * total
    place = next((i for i, (_, count) in enumerate(fixed[:-1]) if count >= rank), len(fixed) - 1)
    if place == len(fixed) - 1:
        return fixed[-2][0]
    end, count = fixed[place]
    if place == 0:
        return end if end <= 0 else (end * rank / count if count else math.nan)
    start, below = fixed[place - 1]
    return start + (end - start) * ((rank - below) / (count - below)) if count != below else math.nan


def plain_fraction(lower: float, upper: float, counts: Buckets) -> float:
    total = counts[-1][1]
    if counts[-1][0] != math.inf or total == 0:
        return math.nan
    return 0.0 if lower >= upper else (plain_rank(upper, counts) - plain_rank(lower, counts)) / total


def plain_rank(value: float, counts: Buckets) -> float:
    below, start = 0.0, -math.inf
    for end, count in counts:
        if start >= value:
            return below
        if end > value:
            if start == -math.inf and end <= 0:
                return count
            first = 0.0 if start == -math.inf else start
            return below + (count - below) * max(value - first, 0.0) / (end - first)
        below, start = count, end
    return counts[-1][1]


BOUNDS = st.lists(st.integers(-3, 12).map(lambda n: n / 2), min_size=1, max_size=6, unique=True).map(sorted)


@settings(max_examples=150, deadline=None)
@given(bounds=BOUNDS, closed=st.booleans(), seed=st.integers(0, 10**9))
def test_arrays_against_the_plain_way(bounds: list[float], closed: bool, seed: int) -> None:
    chance = random.Random(seed)
    limits = [*bounds, math.inf] if closed else bounds
    cells = np.array([[float(chance.randrange(8)) for _ in limits] for _ in range(20)])
    wanted = np.array([chance.choice((-1.0, 0.0, 0.3, 0.5, 0.99, 1.0, 2.0)) for _ in cells])
    with np.errstate(all="ignore"):
        values, _ = buckets.quantile(wanted, cells, np.array(limits))
        shares = buckets.fraction(wanted, wanted + 1.5, cells, np.array(limits))
    for cell, q, value, share in zip(cells.tolist(), wanted.tolist(), values.tolist(), shares, strict=True):
        pairs = list(zip(limits, cell, strict=True))
        assert value == pytest.approx(plain_quantile(q, pairs), nan_ok=True)
        assert share == pytest.approx(plain_fraction(q, q + 1.5, pairs), nan_ok=True)


def test_counts_that_are_no_numbers_do_not_loop_or_raise() -> None:
    cells = np.array([[math.nan, 1.0, 2.0], [1.0, math.nan, math.inf], [math.inf, math.inf, math.inf]])
    with np.errstate(all="ignore"):
        values, forced = buckets.quantile(np.full(3, 0.5), cells, np.array([1.0, 2.0, math.inf]))
    assert values.shape == forced.shape == (3,)


def test_a_bucket_without_a_sample_is_no_bucket() -> None:
    """At 1 minute the middle bucket is missing: the rank falls between 1 and 4."""
    store = MemoryStore()
    for le, points in (
        ("1", {0: 10.0, 60_000: 10.0}),
        ("2", {0: 30.0}),
        ("4", {0: 40.0, 60_000: 40.0}),
        ("+Inf", {0: 40.0, 60_000: 40.0}),
    ):
        labels = make_labels({"le": le}, "d_bucket")
        store.append(block_of((labels, at, value) for at, value in points.items()))
    store.append(block_of([(make_labels({"le": "2"}, "d_bucket"), 30_000, STALE)]))
    matrix = PromqlEngine(store).range("histogram_quantile(0.5, d_bucket)", 0, 60_000, 60_000)
    assert matrix.labels == [()]
    assert matrix.values[:, 0].tolist() == [1.5, 2.0]


def test_equal_bounds_are_added_up_and_odd_ones_left_out() -> None:
    store = MemoryStore()
    bounds = (
        ("1", 10.0),
        ("1.0", 10.0),
        ("1e0", 0.0),
        ("4", 40.0),
        ("+Inf", 40.0),
        ("1_0", 99.0),
        ("", 99.0),
    )
    store.append(block_of((make_labels({"le": le}, "d_bucket"), 0, value) for le, value in bounds))
    vector = PromqlEngine(store).instant("histogram_quantile(0.25, d_bucket)", 0)
    assert isinstance(vector, Vector)
    assert (list(vector.labels), vector.values.tolist()) == ([()], [0.5])


def test_two_metrics_cannot_become_one() -> None:
    store = MemoryStore()
    store.append(block_of((make_labels({"le": "+Inf"}, name), 0, 1.0) for name in ("a_bucket", "b_bucket")))
    with pytest.raises(QueryError, match="same labelset"):
        PromqlEngine(store).instant('histogram_quantile(0.5, {__name__=~"[ab]_bucket"})', 0)

"""The bounded cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.bounded import BoundedCache


def cost(_key: int, value: int) -> int:
    return value


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40))))
def test_never_more_than_allowed_and_never_another_value(puts: list[tuple[int, int]]) -> None:
    cache = BoundedCache(60, cost)
    first: dict[int, int] = {}
    for key, value in puts:
        known = cache.get(key)
        assert known in {None, first.get(key)}
        if known is None:
            first[key] = value
            cache.put(key, value)
            assert (cache.get(key) is None) == (value > 30)
        assert cache.size <= 60


def test_what_is_asked_for_stays() -> None:
    cache = BoundedCache(100, cost)
    cache.put(0, 10)
    for key in range(1, 50):
        cache.put(key, 10)
        assert cache.get(0) == 10
    assert cache.get(1) is None

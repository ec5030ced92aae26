"""Windows, limits and the account of a storm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.receivers.coalesce import BURST, EVENTS_PER_SECOND, KIND_LIMIT, WINDOW_MS, Coalescer, Offences

START = 1_000_000


def test_the_first_is_told_and_the_others_are_counted_until_the_window_ends() -> None:
    windows: Coalescer[str] = Coalescer()
    assert windows.first("key", "kind", "device", "trap", START)
    for _ in range(41):
        assert windows.again("key") is not None
    assert windows.ended(START + WINDOW_MS - 1) == []
    ended = windows.ended(START + WINDOW_MS)
    assert [(entry.subject, entry.repeats, entry.folded) for entry in ended] == [("trap", 41, False)]
    assert windows.again("key") is None
    assert windows.first("key", "kind", "device", "trap", START + WINDOW_MS)


def test_a_single_trap_needs_no_second_event() -> None:
    windows: Coalescer[str] = Coalescer()
    windows.first("key", "kind", "device", "trap", START)
    assert windows.ended(START + WINDOW_MS) == []


def test_of_one_kind_only_some_are_told() -> None:
    windows: Coalescer[int] = Coalescer()
    told = [windows.first(n, "kind", "device", n, START) for n in range(KIND_LIMIT + 30)]
    assert told.count(True) == KIND_LIMIT
    assert windows.crowded("kind", "device", START)
    assert not windows.crowded("other kind", "device", START)
    (entry,) = windows.ended(START + WINDOW_MS)
    assert (entry.folded, entry.repeats) == (True, 31)


def test_all_devices_together_are_limited_and_what_is_beyond_is_counted_by_device() -> None:
    windows: Coalescer[int] = Coalescer()
    told = [windows.first(n, ("kind", n), n % 3, n, START) for n in range(BURST + 300)]
    assert told.count(True) == BURST
    later = [windows.first(-n - 1, ("kind", -n - 1), 0, n, START + 1000) for n in range(500)]
    assert later.count(True) == EVENTS_PER_SECOND
    folded = windows.ended(START + 3 * WINDOW_MS)
    assert sorted(entry.repeats for entry in folded) == [100, 100, 400]


def test_a_clock_that_is_set_back_ends_windows_and_does_not_stop_telling() -> None:
    windows: Coalescer[str] = Coalescer()
    windows.first("a", "kind", "device", "trap", START + 10 * WINDOW_MS)
    windows.again("a")
    assert len(windows.ended(START)) == 1
    assert windows.first("a", "kind", "device", "trap", START)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 20_000)), max_size=200))
def test_no_trap_goes_uncounted(arrivals: list[tuple[int, int, int]]) -> None:
    windows: Coalescer[int] = Coalescer()
    now, told, counted = START, 0, 0
    for key, kind, passed in arrivals:
        now += passed
        counted += sum(entry.repeats for entry in windows.ended(now))
        if windows.again(key) is None and not windows.crowded(kind, "device", now):
            told += windows.first(key, kind, "device", key, now)
    counted += sum(entry.repeats for entry in windows.ended(now, everything=True))
    assert told + counted == len(arrivals)


def test_an_offence_is_told_at_once_and_then_once_an_hour_with_its_count() -> None:
    offences = Offences(every_ms=3_600_000)
    first = offences.note("community", "SW1", START)
    assert first is not None
    assert first.count == 1
    assert [offences.note("community", "SW1", START + n) for n in range(1, 50)] == [None] * 49
    assert offences.note("community", "SW2", START) is not None
    assert offences.overdue(START + 3_599_999) == []
    (later,) = offences.overdue(START + 3_600_000)
    assert (later.place, later.count) == ("SW1", 49)


def test_forged_sources_beyond_the_limit_share_a_line() -> None:
    offences = Offences(limit=10)
    told = [offences.note("unknown-source", bytes((10, 0, 0, n)), START) for n in range(200)]
    assert sum(offence is not None for offence in told) == 11
    assert sum(offence.count for offence in offences.overdue(START + 4_000_000)) == 189

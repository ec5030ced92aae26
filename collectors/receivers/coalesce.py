"""What makes a storm readable: identical traps become one event and a count, and there is a limit to it all.

Of traps that say the same (device, trap OID, varbinds) within a window the first is told at once, the others are
counted and told as one event when the window ends. Of one kind (device and trap OID) at most KIND_LIMIT different
ones are told in a window, what is beyond is counted and told as one event a kind when the window ends. Of all
devices together at most EVENTS_PER_SECOND are told (after a BURST), what is beyond is counted by device. So 20,000
arrivals a second are at most about 200 spooled events a second, memory is bounded by the same numbers, and no trap
goes uncounted. Pure: time is handed in, in ms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

WINDOW_MS: Final = 30_000
KIND_LIMIT: Final = 20
EVENTS_PER_SECOND: Final = 200
BURST: Final = 1000

T = TypeVar("T")


@dataclass(slots=True)
class Entry(Generic[T]):
    """One window: of identical traps, or (`folded`) of what was beyond a limit. `repeats` is what was not told."""

    subject: T
    key: Hashable
    opened_ms: int
    folded: bool = False
    repeats: int = 0


@dataclass(slots=True)
class _Kind:
    until_ms: int
    told: int = 0


class Coalescer(Generic[T]):
    """Windows over whatever the caller tells apart by `key` and `kind`. For one thread, or under the caller's lock."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Entry[T]] = {}
        self._order: deque[Entry[T]] = deque()
        self._kinds: dict[Hashable, _Kind] = {}
        self._credit = float(BURST)
        self._credit_ms = 0
        self._cleaned_ms = 0

    def again(self, key: Hashable) -> Entry[T] | None:
        """Count one more of an open window; None when there is none (see `first`)."""
        entry = self._open.get(key)
        if entry is not None:
            entry.repeats += 1
        return entry

    def crowded(self, kind: Hashable, wide: Hashable, now_ms: int) -> bool:
        """Whether this one would only be counted, and it is counted then: its kind is at its limit, or there are too
        many events and its device is being counted already.
        """
        entry = self._open.get(("fold", kind))
        if entry is None:
            entry = self._open.get(("fold", wide))
            if entry is None or self._earned(now_ms) >= 1:
                return False
        entry.repeats += 1
        return True

    def first(self, key: Hashable, kind: Hashable, wide: Hashable, subject: T, now_ms: int) -> bool:
        """Open a window; whether the trap is to be told now. If not, it is counted in the window of its kind, or of
        `wide` (its device) when all events together are too many.
        """
        known = self._kinds.get(kind)
        if known is not None and not 0 < known.until_ms - now_ms <= WINDOW_MS:
            known = None
        if known is not None and known.told >= KIND_LIMIT:
            self._fold(kind, subject, now_ms)
            return False
        if not self._pay(now_ms):
            self._fold(wide, subject, now_ms)
            return False
        if known is None:
            known = self._kinds[kind] = _Kind(now_ms + WINDOW_MS)
        known.told += 1
        self._add(Entry(subject, key, now_ms))
        return True

    def ended(self, now_ms: int, *, everything: bool = False) -> list[Entry[T]]:
        """Close the windows that are over (a clock set back closes them too); those with something to tell."""
        found = []
        while self._order and (everything or abs(now_ms - self._order[0].opened_ms) >= WINDOW_MS):
            entry = self._order.popleft()
            self._open.pop(entry.key, None)
            if entry.repeats:
                found.append(entry)
        if now_ms - self._cleaned_ms >= WINDOW_MS or now_ms < self._cleaned_ms:
            self._cleaned_ms = now_ms
            self._kinds = {kind: seen for kind, seen in self._kinds.items() if seen.until_ms > now_ms}
        return found

    def _fold(self, kind: Hashable, subject: T, now_ms: int) -> None:
        entry = self._open.get(("fold", kind))
        if entry is not None:
            entry.repeats += 1
        else:
            self._add(Entry(subject, ("fold", kind), now_ms, folded=True, repeats=1))

    def _add(self, entry: Entry[T]) -> None:
        self._open[entry.key] = entry
        self._order.append(entry)

    def _earned(self, now_ms: int) -> float:
        passed = now_ms - self._credit_ms if self._credit_ms else 0
        if passed or not self._credit_ms:
            passed = max(0, passed)  # the clock may be set back
            self._credit = min(float(BURST), self._credit + passed * EVENTS_PER_SECOND / 1000)
            self._credit_ms = now_ms
        return self._credit

    def _pay(self, now_ms: int) -> bool:
        if self._earned(now_ms) < 1:
            return False
        self._credit -= 1
        return True


@dataclass(slots=True)
class Offence:
    """What was refused for one reason from one place since it was told last. `place` is a device id, or a packed
    address; empty when it shares the line of those beyond the limit.
    """

    reason: str
    place: str | bytes
    count: int = 0
    told_ms: int = -1


class Offences:
    """Refusals, told once an hour for each place and reason; bounded, what is beyond shares one line a reason."""

    def __init__(self, every_ms: int = 3_600_000, limit: int = 1000) -> None:
        self._every_ms = every_ms
        self._limit = limit
        self._known: dict[tuple[str, str | bytes], Offence] = {}
        self._forgotten_ms = -(1 << 62)

    def note(self, reason: str, place: str | bytes, now_ms: int) -> Offence | None:
        """Count one; the offence, with its count, when it is time to tell it."""
        offence = self._known.get((reason, place))
        if offence is None:
            if len(self._known) >= self._limit:
                self._forget(now_ms)
            if len(self._known) >= self._limit:
                place = ""
            offence = self._known.setdefault((reason, place), Offence(reason, place))
        offence.count += 1
        return self._due(offence, now_ms)

    def overdue(self, now_ms: int) -> list[Offence]:
        """Counts that wait for more than an hour, so that the end of a flood is told too."""
        waiting = [self._due(offence, now_ms) for offence in self._known.values() if offence.count]
        return [offence for offence in waiting if offence is not None]

    def _due(self, offence: Offence, now_ms: int) -> Offence | None:
        if offence.told_ms >= 0 and 0 <= now_ms - offence.told_ms < self._every_ms:
            return None
        told = replace(offence, told_ms=now_ms)
        offence.count, offence.told_ms = 0, now_ms
        return told

    def _forget(self, now_ms: int) -> None:
        if now_ms - self._forgotten_ms < 1000:
            return
        self._forgotten_ms = now_ms
        self._known = {
            key: offence
            for key, offence in self._known.items()
            if offence.count or 0 <= now_ms - offence.told_ms < self._every_ms
        }

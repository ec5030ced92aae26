"""What a sweep sends when: addresses in order, each up a ladder of steps, within a pace. Pure; the time is handed in.

An address climbs v3 first (one unauthenticated engine discovery), then every v2c and every v1 credential, and stops at
the first answer. What answered waits aside until somebody has read it (`settle`), or found that no v3 credential fits
(`resume`). An address is done when it was read or its ladder is at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectors.discovery.pace import Pace


class Kind(StrEnum):
    """What is sent in a step."""

    ENGINE = "engine"
    V2C = "v2c"
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: a kind of request and the name of the credential it carries (none for engine discovery)."""

    kind: Kind
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How gently a scan goes: packets a second, requests in flight, seconds for an answer, further attempts, and
    seconds for the whole.
    """

    rate: float = 50.0
    in_flight: int = 64
    timeout: float = 2.0
    retries: int = 1
    seconds: float = 14_400.0


@dataclass(frozen=True, slots=True)
class Try:
    """One request: `number` is the address's place in the scan, `rung` its step, `attempt` from 0."""

    number: int
    address: str
    rung: int
    request_id: int
    attempt: int
    deadline: float


class Planner:
    """One sweep. `start` addresses were done in an earlier life of the scan and are passed over."""

    def __init__(
        self,
        addresses: Iterable[str],
        steps: Sequence[Step],
        limits: Limits,
        pace: Pace,
        new_id: Callable[[], int],
        *,
        skip: Callable[[str], bool] = lambda _: False,
        start: int = 0,
    ) -> None:
        self.steps = steps
        self._limits = limits
        self._pace = pace
        self._new_id = new_id
        self._skip = skip
        self._fresh: Iterator[tuple[int, str]] = enumerate(addresses)
        for _ in range(start):
            next(self._fresh, None)
        self._exhausted = False
        self._again: deque[tuple[int, str, int, int, int]] = deque()
        self._flying: dict[int, Try] = {}
        self._order: deque[Try] = deque()
        self._aside: dict[str, int] = {}
        self._low = start
        self._beyond: set[int] = set()

    @property
    def done(self) -> int:
        """Addresses that are done, those passed over included."""
        return self._low + len(self._beyond)

    @property
    def mark(self) -> int:
        """All addresses before this place are done: where a scan may be taken up again."""
        return self._low

    @property
    def finished(self) -> bool:
        """Whether nothing is left to send or to wait for."""
        return self._exhausted and not (self._again or self._flying or self._aside)

    @property
    def in_flight(self) -> int:
        """Requests without an answer yet."""
        return len(self._flying)

    def next_try(self, now: float) -> Try | None:
        """The request to send now, or None when there is none or the pace or the limit in flight says wait."""
        self._expire(now)
        if len(self._flying) >= self._limits.in_flight:
            return None
        entry = self._again[0] if self._again else self._draw()
        if entry is None or self._pace.take(now) > 0:
            return None
        self._again.popleft()
        number, address, rung, attempt, request_id = entry
        while request_id in self._flying:
            request_id = self._new_id()
        made = Try(number, address, rung, request_id, attempt, now + self._limits.timeout)
        self._flying[request_id] = made
        self._order.append(made)
        return made

    def asked(self, request_id: int, address: str) -> Try | None:
        """The request in flight that an answer would be to."""
        made = self._flying.get(request_id)
        return made if made is not None and made.address == address else None

    def answered(self, request_id: int, address: str) -> Try | None:
        """An answer came: what it answers, None when nobody asked. The address then waits for `resume` or `settle`."""
        made = self.asked(request_id, address)
        if made is None:
            return None
        del self._flying[request_id]
        self._aside[address] = made.number
        return made

    def resume(self, address: str) -> None:
        """No v3 credential fits what answered the engine discovery: go on with the next rung."""
        number = self._aside.pop(address)
        self._climb(number, address, 0)

    def settle(self, address: str) -> None:
        """The address has been read."""
        self._finish(self._aside.pop(address))

    def wait(self, now: float) -> float:
        """Seconds until something may be due; at most 0.05 while there is anything to send."""
        if self._again or not self._exhausted:
            return 0.05 if len(self._flying) >= self._limits.in_flight else min(0.05, 1 / self._limits.rate)
        return min(0.05, max(0.001, self._order[0].deadline - now)) if self._order else 0.05

    def _draw(self) -> tuple[int, str, int, int, int] | None:
        """The next fresh address, put at the head of what waits; skipped ones are done at once."""
        for number, address in self._fresh:
            if self._skip(address) or not self.steps:
                self._finish(number)
                continue
            entry = (number, address, 0, 0, self._new_id())
            self._again.append(entry)
            return entry
        self._exhausted = True
        return None

    def _expire(self, now: float) -> None:
        while self._order and self._order[0].deadline <= now:
            made = self._order.popleft()
            if self._flying.get(made.request_id) is not made:
                continue  # answered, or sent again since
            del self._flying[made.request_id]
            if made.attempt < self._limits.retries:
                # The same datagram under the same id: a late answer to the first counts.
                self._again.append((made.number, made.address, made.rung, made.attempt + 1, made.request_id))
            else:
                self._climb(made.number, made.address, made.rung)

    def _climb(self, number: int, address: str, rung: int) -> None:
        if rung + 1 < len(self.steps):
            self._again.append((number, address, rung + 1, 0, self._new_id()))
        else:
            self._finish(number)

    def _finish(self, number: int) -> None:
        self._beyond.add(number)
        while self._low in self._beyond:
            self._beyond.remove(self._low)
            self._low += 1

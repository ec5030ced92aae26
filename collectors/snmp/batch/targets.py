"""Who is polled and how polls end: the table of devices, one row each, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from monitor.metrics.arrays import Floats, Ints


class Outcome(IntEnum):
    """How a poll ended: every reply as expected, one that was not or did not come although others did, or none."""

    DONE = 0
    CHANGED = 1
    SILENT = 2


@dataclass(frozen=True, slots=True)
class Target:
    """Where a device answers and how it is to be treated: `timeout` seconds for each of `retries` + 1 attempts, at
    most `window` requests in flight, fewer while it does not keep up. `site` numbers its site for `Limits.site_rate`.
    """

    address: str
    port: int = 161
    timeout: float = 2.0
    retries: int = 2
    window: int = 8
    site: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may do: requests in flight, and requests per second to one site (0: no limit)."""

    flying: int = 1024
    site_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """Polls that ended: device [i] with outcome [i] after `seconds` [i]."""

    devices: Ints
    outcomes: Ints
    seconds: Floats


class DeviceTable:
    """Row [d] of every array is device d: its slots are `first` to `first` + `count`, of which `sent` were queued in
    this poll and `open` are not answered yet; no more than `window` are, now, and `widest` ever.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._free: list[int] = []
        self._made = 0
        self.first: Ints = np.zeros(capacity, np.int64)
        self.count: Ints = np.zeros(capacity, np.int64)
        self.sent: Ints = np.zeros(capacity, np.int64)
        self.open: Ints = np.zeros(capacity, np.int64)
        self.window: Ints = np.zeros(capacity, np.int64)
        self.widest: Ints = np.zeros(capacity, np.int64)
        self.site: Ints = np.zeros(capacity, np.int64)
        self.attempts: Ints = np.zeros(capacity, np.int64)
        self.timeout: Floats = np.zeros(capacity)
        self.begun: Floats = np.zeros(capacity)
        self.polling = np.zeros(capacity, np.bool_)
        self.silent = np.zeros(capacity, np.bool_)
        self.six = np.zeros(capacity, np.bool_)

    def place(self) -> int:
        """A row that is free."""
        if self._free:
            return self._free.pop()
        if self._made == len(self.first):
            for name in _ARRAYS:
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self._made += 1
        return self._made - 1

    def settle(self, number: int, target: Target, first: int, count: int) -> None:
        """Fill a row."""
        self.first[number], self.count[number] = first, count
        self.window[number] = self.widest[number] = target.window
        self.site[number] = target.site
        self.attempts[number], self.timeout[number] = target.retries + 1, target.timeout
        self.six[number] = ":" in target.address
        self.polling[number] = self.silent[number] = False

    def narrow(self, devices: Ints) -> None:
        """Fewer in flight: these did not answer in time."""
        self.window[devices] = np.maximum(1, self.window[devices] // 2)

    def widen(self, devices: Ints) -> None:
        """One more in flight: these answered everything."""
        self.window[devices] = np.minimum(self.widest[devices], self.window[devices] + 1)

    def leave(self, number: int) -> None:
        """Give a row back."""
        self.count[number] = 0
        self._free.append(number)


_ARRAYS: Final = (
    "first", "count", "sent", "open", "window", "widest", "site", "attempts", "timeout", "begun", "polling", "silent",
    "six",
)  # fmt: skip

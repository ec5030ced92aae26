"""What may be sent next: a queue of slots, and a budget for each site. Pure: the time is given."""

from __future__ import annotations

from collections import deque

import numpy as np

from monitor.metrics.arrays import Floats, Ints

_BURST_SECONDS = 0.1


class SendQueue:
    """Slots in the order they are to be sent. With a rate, no site gets more than `rate` a second, nor more than a
    tenth of a second's share at once.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self._rate = rate
        self._waiting: deque[Ints] = deque()
        self._size = 0
        self._budget: Floats = np.empty(0)
        self._filled_at = 0.0

    def __len__(self) -> int:
        return self._size

    def push(self, slots: Ints) -> None:
        """Behind all others."""
        if len(slots):
            self._waiting.append(slots)
            self._size += len(slots)

    def push_front(self, slots: Ints) -> None:
        """Before all others."""
        if len(slots):
            self._waiting.appendleft(slots)
            self._size += len(slots)

    def pop(self, count: int) -> Ints:
        """The next `count` slots, fewer when there are no more."""
        taken: list[Ints] = []
        while count > 0 and self._waiting:
            head = self._waiting.popleft()
            if len(head) > count:
                self._waiting.appendleft(head[count:])
                head = head[:count]
            taken.append(head)
            count -= len(head)
            self._size -= len(head)
        return taken[0] if len(taken) == 1 else np.concatenate([np.empty(0, np.int64), *taken])

    def within_rate(self, slots: Ints, sites: Ints, now: float, most: int) -> Ints:
        """Those of popped slots that their sites' budgets allow at `now` seconds, at most so many; the others wait
        again, in order.
        """
        if not self._rate:
            return slots
        self._fill(int(sites.max(initial=0)) + 1, now)
        order = np.argsort(sites, kind="stable")
        begins = np.flatnonzero(np.diff(sites[order], prepend=-1))
        rank = np.empty(len(slots), np.int64)
        rank[order] = np.arange(len(slots)) - np.repeat(begins, np.diff(np.append(begins, len(slots))))
        allowed = rank < np.floor(self._budget[sites])
        allowed &= np.cumsum(allowed) <= most
        np.subtract.at(self._budget, sites[allowed], 1.0)
        self.push_front(slots[~allowed])
        return slots[allowed]

    def _fill(self, count: int, now: float) -> None:
        most = max(1.0, self._rate * _BURST_SECONDS)
        if count > len(self._budget):
            self._budget = np.concatenate([self._budget, np.full(count - len(self._budget), most)])
        self._budget = np.minimum(most, self._budget + (now - self._filled_at) * self._rate)
        self._filled_at = now

"""Remembering what was worked out from label sets alone.

A store gives the same tuple objects for the same series every time, so a list of label sets is recognised by the
identities of its members, far faster than by their texts. An entry holds the label sets it was made for: their
identities cannot be taken over by others while it lives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from monitor.metrics.interface import Labels

Result = TypeVar("Result")

_MIN_SERIES = 64
_CAPACITY_SERIES = 4_000_000


class LabelMemo:
    """A bounded, thread-safe memory; the least recently used entries go first."""

    def __init__(self, capacity: int = _CAPACITY_SERIES) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, tuple[list[Labels], Any]] = OrderedDict()
        self._series = 0
        self._lock = Lock()

    def of(self, kind: Hashable, labels: Sequence[Labels], compute: Callable[[], Result]) -> Result:
        """What `compute` gave for this kind of question and these label sets, in this order."""
        if len(labels) < _MIN_SERIES:
            return compute()
        key = (kind, np.fromiter(map(id, labels), np.int64, len(labels)).tobytes())
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                self._entries.move_to_end(key)
                found: Result = known[1]
                return found
        found = compute()
        with self._lock:
            if key not in self._entries:
                self._entries[key] = (list(labels), found)
                self._series += len(labels)
            while self._series > self._capacity and len(self._entries) > 1:
                _, (gone, _result) = self._entries.popitem(last=False)
                self._series -= len(gone)
        return found

    def __len__(self) -> int:
        return len(self._entries)

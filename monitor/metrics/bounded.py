"""A cache bounded in bytes that costs one dictionary look-up: two generations instead of a list of uses.

New and used entries live in the young generation. When it has used up half of the room it becomes the old one, and
what nobody asks for until the next change is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Safe to use from several threads. `cost` tells the bytes an entry takes; `max_bytes` bounds their sum.

    `young` may be read directly, for many keys at once; what is not there may still be found by `get`.
    """

    __slots__ = ("_cost", "_half", "_lock", "_old", "_spent", "_spent_before", "young")

    def __init__(self, max_bytes: int, cost: Callable[[Key, Value], int]) -> None:
        self._half = max_bytes // 2
        self._cost = cost
        self._lock = threading.Lock()
        self._spent = self._spent_before = 0
        self._old: dict[Key, Value] = {}
        self.young: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """The value of a key, None when it is not known (any more)."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember a value, unless it is too large for that."""
        cost = self._cost(key, value)
        if cost > self._half:
            return
        with self._lock:
            if key in self.young:
                return
            if self._spent + cost > self._half:
                self._old, self.young = self.young, {}
                self._spent_before, self._spent = self._spent, 0
            self.young[key] = value
            self._spent += cost

    @property
    def size(self) -> int:
        """The bytes in use, by what their users said."""
        return self._spent + self._spent_before

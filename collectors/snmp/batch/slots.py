"""The requests of all devices, one slot each, as arrays; the slots of a device are neighbours.

A slot is idle, queued or flying. Its request id is the slot and a generation that every poll draws anew, so that an
answer to an earlier poll, or to another device's slot, is not taken.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import numpy as np

from collectors.datagrams import Outgoing
from collectors.snmp.batch.layouts import NO_LAYOUT
from collectors.snmp.batch.request import CELLS, REQUEST_BYTES, Request
from monitor.metrics.arrays import Bools, Floats, Ints

IDLE, QUEUED, FLYING = 0, 1, 2
SLOT_BITS: Final = 20
GENERATION_BITS: Final = 10
SLOTS: Final = 1 << SLOT_BITS
LAYOUTS_KEPT: Final = 4
_ID_MARK: Final = 0x40000000  # keeps every id a positive INTEGER of exactly four octets
_FOUR = np.arange(4)


class Slots:
    """See the module. Row [s] of every array is slot s; `request` [s] holds what its reply must look like."""

    def __init__(self, capacity: int = 256) -> None:
        self._random = np.random.default_rng(secrets.randbits(128))
        self._free: dict[int, list[int]] = {}
        self._made = 0
        self._allocate(capacity)
        self.request: list[Request | None] = [None] * capacity

    def _allocate(self, capacity: int) -> None:
        self.outgoing = Outgoing(capacity, REQUEST_BYTES)
        self.names = self.outgoing.names.view(np.uint64)
        self.device = np.zeros(capacity, np.int32)
        self.state = np.zeros(capacity, np.uint8)
        self.tries = np.zeros(capacity, np.uint8)
        self.generation = np.zeros(capacity, np.int64)
        self.sent_at: Floats = np.zeros(capacity)
        self._seen = np.zeros((capacity, LAYOUTS_KEPT - 1), np.int64)
        self.layouts = np.full((capacity, LAYOUTS_KEPT), NO_LAYOUT, np.int64)
        self.cells: Floats = np.full((capacity, CELLS), np.nan)
        self._id_at = np.zeros(capacity, np.int64)
        self._row = np.zeros(capacity, np.int64)

    def __len__(self) -> int:
        return self._made

    def add(self, device: int, name: bytes, requests: Sequence[Request]) -> int:
        """Slots for the requests of a device at an address; the first of them. Raises ValueError when there are too
        many or one is too long.
        """
        count = len(requests)
        if any(len(request.data) > REQUEST_BYTES for request in requests):
            raise ValueError(f"a request longer than {REQUEST_BYTES} octets")
        first = self._place(count)
        self.outgoing.write((slot, request.data) for slot, request in enumerate(requests, first))
        for slot, request in enumerate(requests, first):
            self.outgoing.address(slot, name)
            self._id_at[slot] = request.request_id_at
            self.request[slot] = request
        self.device[first : first + count] = device
        self.state[first : first + count] = IDLE
        self.cells[first : first + count] = np.nan
        return first

    def remove(self, first: int, count: int) -> list[int]:
        """Give the slots of a device back; returns the layouts they had."""
        some = slice(first, first + count)
        left: list[int] = self.layouts[some].ravel().tolist()
        self.layouts[some] = NO_LAYOUT
        self.state[some] = IDLE
        self.request[some] = [None] * count
        self._free.setdefault(count, []).append(first)
        return left

    def renew(self, slots: Ints) -> None:
        """A new generation for slots that are queued."""
        self.generation[slots] = self._random.integers(0, 1 << GENERATION_BITS, len(slots))
        self.state[slots] = QUEUED
        self.tries[slots] = 0

    def ids(self, slots: Ints) -> Ints:
        """The request ids of slots."""
        return np.asarray(_ID_MARK | (self.generation[slots] << SLOT_BITS) | slots)

    def stamp(self, slots: Ints) -> None:
        """Write the request ids into the payloads."""
        flat = self.outgoing.payloads.reshape(-1)
        octets = self.ids(slots).astype(">u4").view(np.uint8).reshape(-1, 4)
        at = slots * REQUEST_BYTES + self._id_at[slots]
        flat[at[:, None] + _FOUR] = octets

    def id_of(self, slot: int) -> int:
        """The request id of one slot."""
        return int(_ID_MARK | int(self.generation[slot]) << SLOT_BITS | slot)

    def once(self, slots: Ints, rows: Ints) -> Ints:
        """Of rows whose slot is the same, only one: a reply may come twice."""
        mine = slots[rows]
        self._row[mine] = rows
        return np.asarray(rows[self._row[mine] == rows])

    def prefer(self, slots: Ints, kept: int) -> None:
        """Bring the layout at a place of the kept ones to the front."""
        if kept:
            first = self.layouts[slots, 0]
            self.layouts[slots, 0] = self.layouts[slots, kept]
            self.layouts[slots, kept] = first

    def remember(self, slot: int, layout: int) -> int:
        """Put a layout in front; returns the one that has no place any more."""
        left = int(self.layouts[slot, -1])
        self.layouts[slot, 1:] = self.layouts[slot, :-1]
        self.layouts[slot, 0] = layout
        return left

    def seen_before(self, slot: int, shape: int) -> bool:
        """Whether a slot has no layout, or one of the last replies that fitted none had this shape, too."""
        seen = self._seen[slot]
        before = shape in seen.tolist() or self.layouts[slot, 0] == NO_LAYOUT
        seen[1:] = seen[:-1]
        seen[0] = shape
        return bool(before)

    def forget(self, slot: int) -> list[int]:
        """Take away all layouts of a slot; returns them."""
        left: list[int] = self.layouts[slot].tolist()
        self.layouts[slot] = NO_LAYOUT
        return left

    def asked(self, ids: Ints) -> tuple[Ints, Bools]:
        """The slots with these request ids, and whether such a request is out; the others' slots are 0."""
        slots = ids & (SLOTS - 1)
        known = slots < self._made
        slots = np.where(known, slots, 0)
        known &= (ids >> SLOT_BITS) == (_ID_MARK >> SLOT_BITS) | self.generation[slots]
        known &= self.state[slots] == FLYING
        return slots, known

    def _place(self, count: int) -> int:
        free = self._free.get(count)
        if free:
            return free.pop()
        if self._made + count > SLOTS:
            raise ValueError(f"more than {SLOTS} requests in one process")
        while self._made + count > len(self.state):
            self._grow()
        self._made += count
        return self._made - count

    def _grow(self) -> None:
        made = self._made
        old = {name: getattr(self, name) for name in _ARRAYS}
        outgoing = self.outgoing
        self._allocate(2 * len(self.state))
        for name, array in old.items():
            getattr(self, name)[:made] = array[:made]
        self.outgoing.payloads[:made] = outgoing.payloads[:made]
        self.outgoing.lengths[:made] = outgoing.lengths[:made]
        for slot in range(made):
            self.outgoing.address(slot, outgoing.names[slot].tobytes())
        self.request += [None] * (len(self.state) - len(self.request))


_ARRAYS: Final = ("device", "state", "tries", "generation", "sent_at", "_seen", "layouts", "cells", "_id_at")

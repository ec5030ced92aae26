"""Polls devices: one process, thousands of them at a time.

    device = engine.add(Target("10.1.2.3"), requests)
    engine.begin(np.array([device]))
    ended = engine.work(until)

A device's poll ends as DONE (every reply is as expected: its numbers are in `numbers`), CHANGED (a reply was not, or
did not come although others did: read the device anew) or SILENT (there was no answer). Times are seconds of the
clock's monotonic. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import structlog

from collectors.datagrams import sockaddr
from collectors.snmp.batch.exchange import Answers, Exchange, Peer
from collectors.snmp.batch.layouts import Layouts
from collectors.snmp.batch.pacing import SendQueue
from collectors.snmp.batch.request import Request
from collectors.snmp.batch.slots import FLYING, IDLE, QUEUED, Slots
from collectors.snmp.batch.targets import DeviceTable, Ended, Limits, Outcome, Target
from monitor.clock import Clock
from monitor.metrics.arrays import Floats, Ints

_SEND: Final = 256  # datagrams a call
_WORTHWHILE: Final = 128  # with so many at a time there is no waiting for more
_LOOK_SECONDS: Final = 0.02  # between looks for what is overdue
log = structlog.get_logger(__name__)


class Engine:
    """See the module."""

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._slots = Slots()
        self._layouts = Layouts()
        self._devices = DeviceTable()
        self._peers: dict[int, Peer] = {}
        self._exchange = Exchange(self._slots, self._layouts, self._peers)
        self._queue = SendQueue(self._limits.site_rate)
        self._busy = 0
        self._look_at = 0.0
        self._ended: list[tuple[Ints, Outcome]] = []

    # -- devices ----------------------------------------------------------------------------------------------

    def add(self, target: Target, requests: Sequence[Request], peer: Peer | None = None) -> int:
        """A device to poll with these requests, sealed by `peer` when it speaks SNMPv3. Raises OSError when its
        address is none, ValueError when a request is too long.
        """
        if not requests:
            raise ValueError("nothing to ask for")
        name = sockaddr(target.address, target.port)
        self._exchange.open(six=":" in target.address)
        number = self._devices.place()
        first = self._slots.add(number, name, requests)
        self._devices.settle(number, target, first, len(requests))
        if peer is not None:
            self._peers[number] = peer
        return number

    def remove(self, device: int) -> None:
        """Forget a device; a poll under way ends without an outcome."""
        table = self._devices
        if table.polling[device]:
            self._stop(np.array([device]))
        self._layouts.forget(self._slots.remove(int(table.first[device]), int(table.count[device])))
        self._peers.pop(device, None)
        self._exchange.short.pop(device, None)
        self._exchange.refused.discard(device)
        table.leave(device)

    def first_slot(self, device: int) -> int:
        """The row in `numbers` of a device's first request; the others follow."""
        return int(self._devices.first[device])

    def fell_short(self, device: int) -> int:
        """How many varbinds a device gave when it gave fewer than it was asked for; 0 when it did not."""
        return self._exchange.short.pop(device, 0)

    def was_refused(self, device: int) -> bool:
        """Whether an SNMPv3 device answered something, since the last time this was asked, that was not believed."""
        found = device in self._exchange.refused
        self._exchange.refused.discard(device)
        return found

    @property
    def busy(self) -> bool:
        """Whether a device is being polled."""
        return self._busy > 0

    @property
    def numbers(self) -> Floats:
        """By slot and cell, what the last reply said; read it before the device's next poll begins."""
        return self._slots.cells

    def state(self) -> Mapping[str, float]:
        """Devices being polled, requests waiting and flying, layouts held; and what has happened so far."""
        return {
            "polling": float(self._busy),
            "queued": float(len(self._queue)),
            "flying": float(self._exchange.flying),
            "layouts": float(len(self._layouts)),
            **{name: float(count) for name, count in self._exchange.counts.items()},
        }

    def close(self) -> None:
        """Close the sockets."""
        self._exchange.close()

    # -- polls ------------------------------------------------------------------------------------------------

    def begin(self, devices: Ints) -> None:
        """Poll devices; those being polled already are left alone. One that was silent is asked one thing first."""
        table = self._devices
        devices = devices[~table.polling[devices]]
        table.polling[devices] = True
        table.begun[devices] = self._clock.monotonic()
        table.sent[devices] = table.open[devices] = 0
        self._busy += len(devices)
        self._ask_more(devices, np.where(table.silent[devices], 1, table.window[devices]))

    def work(self, until: float) -> Ended:
        """Send and receive until that time, or until no device is being polled; the polls that ended."""
        while True:
            now = self._clock.monotonic()
            sent = self._send(now)
            answers = self._exchange.receive()
            if answers is not None:
                self._answered(answers)
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                self._overdue(now)
            if not self._busy or now >= until:
                return self._collect()
            if sent < _WORTHWHILE and (answers is None or len(answers.good) < _WORTHWHILE):
                self._exchange.wait(min(until, self._look_at) - now)

    def _collect(self) -> Ended:
        ended, self._ended = self._ended, []
        devices = np.concatenate([np.empty(0, np.int64), *(some for some, _ in ended)])
        outcomes = np.repeat([one for _, one in ended], [len(some) for some, _ in ended]).astype(np.int64)
        return Ended(devices, outcomes, self._clock.monotonic() - self._devices.begun[devices])

    def _ask_more(self, devices: Ints, most: Ints) -> None:
        """Queue the next requests of devices, at most so many each."""
        table = self._devices
        some = np.minimum(most, table.count[devices] - table.sent[devices])
        ends = np.cumsum(some)
        slots = np.repeat(table.first[devices] + table.sent[devices] - (ends - some), some)
        slots += np.arange(len(slots))
        table.sent[devices] += some
        table.open[devices] += some
        self._slots.renew(slots)
        self._queue.push(slots)

    def _answered(self, answers: Answers) -> None:
        table = self._devices
        if len(answers.odd):
            changed = np.unique(self._slots.device[answers.odd].astype(np.int64))
            self._stop(changed)
            self._end(changed, Outcome.CHANGED)
        devices = self._slots.device[answers.good].astype(np.int64)
        np.subtract.at(table.open, devices, 1)
        behind = table.sent[devices] < table.count[devices]
        if behind.any():
            more = np.unique(devices[behind & table.polling[devices]])
            self._ask_more(more, np.maximum(0, table.window[more] - table.open[more]))
        ended = devices[(table.open[devices] == 0) & table.polling[devices]]
        if len(ended):
            ended = np.unique(ended)
            table.widen(ended)
            self._end(ended, Outcome.DONE)

    def _end(self, devices: Ints, outcome: Outcome) -> None:
        table = self._devices
        self._busy -= int(np.count_nonzero(table.polling[devices]))
        table.polling[devices] = False
        table.silent[devices] = outcome is Outcome.SILENT
        self._ended.append((devices, outcome))

    def _stop(self, devices: Ints) -> None:
        """Take the requests of devices back; their polls end without an outcome."""
        table = self._devices
        for first, count in zip(table.first[devices].tolist(), table.count[devices].tolist(), strict=True):
            state = self._slots.state[first : first + count]
            self._exchange.flying -= int(np.count_nonzero(state == FLYING))
            state[:] = IDLE
        self._busy -= int(np.count_nonzero(table.polling[devices]))
        table.polling[devices] = False

    # -- time -------------------------------------------------------------------------------------------------

    def _send(self, now: float) -> int:
        """Send a batch when it is worth a call; how many were tried."""
        self._send_again()
        waiting, flying = len(self._queue), self._exchange.flying
        room = min(self._limits.flying - flying, _SEND)
        if not waiting or room <= 0 or (room < min(_SEND, self._limits.flying) // 2 and room < waiting):
            return 0
        # With a rate all are looked at: what one site may not send yet must not hold up the others.
        slots = self._still_queued(self._queue.pop(waiting if self._limits.site_rate else room))
        slots = self._queue.within_rate(slots, self._devices.site[self._slots.device[slots]], now, room)
        if not len(slots):
            return 0
        left = self._exchange.send(slots, self._devices.six[self._slots.device[slots]], now)
        for slot, error in self._exchange.unsendable:
            self._unsendable(slot, error)
        self._exchange.unsendable.clear()
        self._queue.push_front(left)
        return len(slots) - len(left)

    def _still_queued(self, slots: Ints) -> Ints:
        """Popped slots without those of polls that ended meanwhile; a slot of a poll begun since was pushed twice."""
        slots = slots[self._slots.state[slots] == QUEUED]
        first = np.unique(slots, return_index=True)[1]
        return slots if len(first) == len(slots) else slots[np.sort(first)]

    def _unsendable(self, slot: int, error: OSError) -> None:
        device = self._slots.device[slot : slot + 1].astype(np.int64)
        if not self._devices.silent[device[0]]:  # once, not with every poll of a city whose network is down
            log.warning("nothing can be sent to a device", reason=error.strerror)
        self._stop(device)
        self._end(device, Outcome.SILENT)

    def _send_again(self) -> None:
        """What was refused but taught us something (an SNMPv3 agent's new time) goes out at once, within its tries."""
        while self._exchange.again:
            slot = self._exchange.again.pop()
            left = self._slots.tries[slot] < self._devices.attempts[self._slots.device[slot]]
            if left and self._slots.state[slot] == FLYING:
                self._slots.state[slot] = QUEUED
                self._exchange.flying -= 1
                self._queue.push_front(np.array([slot]))

    def _overdue(self, now: float) -> None:
        """Send again what got no answer in time; give up a device when one request had all its attempts."""
        slots = np.flatnonzero(self._slots.state[: len(self._slots)] == FLYING)
        devices = self._slots.device[slots].astype(np.int64)
        late = now - self._slots.sent_at[slots] > self._devices.timeout[devices]
        if not late.any():
            return
        slots, devices = slots[late], devices[late]
        given_up = np.unique(devices[self._slots.tries[slots] >= self._devices.attempts[devices]])
        if len(given_up):
            answered = self._devices.sent[given_up] > self._devices.open[given_up]
            self._stop(given_up)
            self._end(given_up[answered], Outcome.CHANGED)
            self._end(given_up[~answered], Outcome.SILENT)
        self._devices.narrow(np.unique(devices))
        again = slots[self._slots.state[slots] == FLYING]
        self._slots.state[again] = QUEUED
        self._exchange.flying -= len(again)
        self._queue.push(again)

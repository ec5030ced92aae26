"""Requests out, replies in: everything between the slots and the wire.

A reply counts only when it carries the id of a request that is out and comes from the address asked; of SNMPv3 it must
be authentic too. It is then compared with the slot's layouts, and read plainly when it fits none.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from collectors.datagrams import CANNOT_CUT, SEGMENTS, DatagramSocket, Incoming
from collectors.snmp.batch.headers import request_ids
from collectors.snmp.batch.layouts import NO_LAYOUT, NUMBERS, REPLY_BYTES, Layouts
from collectors.snmp.batch.request import as_expected, text_numbers
from collectors.snmp.batch.shape import Shape, read_message, read_pdu
from collectors.snmp.batch.slots import FLYING, IDLE, LAYOUTS_KEPT, Slots
from collectors.snmp.errors import BerError, SnmpError, WrongTagError
from collectors.snmp.usm.errors import AgainError
from monitor.metrics.arrays import Bools, Ints

_RECEIVE: Final = 512  # datagrams a call
_GATHER_SECONDS: Final = 0.005
Sizes = npt.NDArray[np.int64]


class Peer(Protocol):
    """One SNMPv3 agent and user: see collectors.snmp.usm."""

    def seal(self, pdu: bytes, msg_id: int, request_id_at: int) -> bytes:
        """A message around a PDU, whose request id there becomes the message id."""
        ...

    def open_alike(self, octets: memoryview, at: int, size: int, number: int) -> int:
        """Put the PDU of an authentic answer with these ids in its place; octets of the PDU, or 0: `open` it."""
        ...

    def open(self, datagram: bytes) -> tuple[int, bytes]:
        """Message id and PDU of an authentic message. Raises SnmpError."""
        ...


@dataclass(frozen=True, slots=True)
class Answers:
    """Slots whose reply was as expected, and slots whose reply was not."""

    good: Ints
    odd: Ints


class _Channel:
    """The socket of one address family and room for what it receives."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.socket = DatagramSocket(family)
        self.incoming = Incoming(_RECEIVE, REPLY_BYTES)
        self.cuts = True
        self.name_words = 1 if family == socket.AF_INET else 3  # the words of a sockaddr that tell who sent


class Exchange:
    """See the module. `counts`: sent, retried, reshaped, odd, foreign, stray, malformed, refused, synchronised."""

    def __init__(self, slots: Slots, layouts: Layouts, peers: Mapping[int, Peer]) -> None:
        self._slots = slots
        self._layouts = layouts
        self._peers = peers
        self._channels: dict[bool, _Channel] = {}
        self.flying = 0
        self.short: dict[int, int] = {}  # devices that give fewer varbinds than asked for, and how many
        self.again: list[int] = []  # slots to be sent once more at once
        self.refused: set[int] = set()  # devices of SNMPv3 an answer of which was not believed
        self.unsendable: list[tuple[int, OSError]] = []  # slots the kernel will not send at all
        self.counts: Counter[str] = Counter()

    def open(self, *, six: bool) -> None:
        """Open the socket of a family if it is not yet. Raises OSError."""
        if six not in self._channels:
            self._channels[six] = _Channel(socket.AF_INET6 if six else socket.AF_INET)

    def close(self) -> None:
        """Close the sockets."""
        for channel in self._channels.values():
            channel.socket.close()

    def wait(self, seconds: float) -> None:
        """Until something arrives, at most so long; then a moment for others, for many are as quick to take as one."""
        if seconds > 0:
            arrived, _, _ = select.select([one.socket for one in self._channels.values()], [], [], seconds)
            if arrived:
                time.sleep(min(seconds, _GATHER_SECONDS))

    # -- out --------------------------------------------------------------------------------------------------

    def send(self, slots: Ints, six: Bools, now: float) -> Ints:
        """Send slots, `six` telling which over IPv6; the slots the kernel did not take. When it is the first of a
        family it will never take, that one is in `unsendable`.
        """
        self._slots.stamp(slots)
        if self._peers:
            self._seal(slots)
        left = []
        for family, channel in self._channels.items():
            mine = slots if len(self._channels) == 1 else slots[six == family]
            if len(mine):
                try:
                    taken = self._send_on(channel, mine)
                except OSError as error:
                    self.unsendable.append((int(mine[0]), error))
                    taken = 0
                self._sent(mine[:taken], now)
                left.append(mine[taken:])
        return left[0] if len(left) == 1 else np.concatenate([np.empty(0, np.int64), *left])

    def _send_on(self, channel: _Channel, slots: Ints) -> int:
        """How many of the slots went out. Neighbours of one length travel as one message when the kernel can."""
        outgoing = self._slots.outgoing
        if not channel.cuts:
            return channel.socket.send(outgoing.headers(slots))
        begins, counts = runs(slots, self._slots.device[slots].astype(np.int64), outgoing.lengths[slots])
        try:
            sent = channel.socket.send(outgoing.segmented(slots[begins], counts))
        except OSError as error:
            if error.errno not in CANNOT_CUT:
                raise
            plain = channel.socket.send(outgoing.headers(slots))  # unless it is the address
            channel.cuts = False
            return plain
        return int(counts[:sent].sum())

    def _sent(self, slots: Ints, now: float) -> None:
        self.counts["sent"] += len(slots)
        self.counts["retried"] += int(np.count_nonzero(self._slots.tries[slots]))
        self._slots.state[slots] = FLYING
        self._slots.sent_at[slots] = now
        self._slots.tries[slots] += 1
        self.flying += len(slots)

    def _seal(self, slots: Ints) -> None:
        self._slots.outgoing.write(self._sealed(slots))

    def _sealed(self, slots: Ints) -> Iterator[tuple[int, bytes]]:
        """What is sent in place of the requests to agents of SNMPv3."""
        request, ids = self._slots.request, self._slots.ids(slots).tolist()
        for slot, number, peer in zip(slots.tolist(), ids, self._peers_of(slots), strict=True):
            asked = request[slot]
            if peer is not None and asked is not None:
                yield slot, peer.seal(asked.data, number, asked.request_id_at)

    # -- in ---------------------------------------------------------------------------------------------------

    def receive(self) -> Answers | None:
        """What has arrived, at most one batch a family; None when nothing has."""
        found = [self._receive(channel) for channel in self._channels.values()]
        answers = [one for one in found if one is not None]
        if len(answers) < 2:
            return answers[0] if answers else None
        return Answers(
            np.concatenate([one.good for one in answers]), np.concatenate([one.odd for one in answers])
        )

    def _receive(self, channel: _Channel) -> Answers | None:
        incoming = channel.incoming
        count = channel.socket.receive(incoming)
        if not count:
            return None
        sizes = incoming.sizes[:count].astype(np.int64)
        ids, sealed = request_ids(incoming.payloads[:count])
        slots, known = self._slots.asked(ids)
        known &= self._from_whom_asked(channel, count, slots, known)
        if self._peers or sealed.any():
            self._unseal(incoming, slots, known, sealed, sizes)
        rows = self._slots.once(slots, np.flatnonzero(known))
        self.counts["stray"] += count - len(rows)
        answers = self._compare(incoming, rows, slots, sizes)
        for done in (answers.good, answers.odd):
            self._slots.state[done] = IDLE
            self.flying -= len(done)
        return answers

    def _from_whom_asked(self, channel: _Channel, count: int, slots: Ints, known: Bools) -> Bools:
        words = channel.name_words
        same = (channel.incoming.names[:count, :words] == self._slots.names[slots, :words]).all(1)
        if not same.all():
            self.counts["foreign"] += int(np.count_nonzero(known & ~same))
        return np.asarray(same)

    def _unseal(self, incoming: Incoming, slots: Ints, known: Bools, sealed: Bools, sizes: Sizes) -> None:
        """Replace the messages of SNMPv3 by the PDUs in them; what is not authentic is not known any more."""
        rows = np.flatnonzero(known)
        mine, octets = slots[rows], incoming.octets
        opened: list[int] = []
        asked = zip(
            rows.tolist(), mine.tolist(), self._slots.ids(mine).tolist(), self._peers_of(mine),
            sealed[rows].tolist(), sizes[rows].tolist(), strict=True,
        )  # fmt: skip
        for row, slot, number, peer, is_sealed, size in asked:
            at = row * REPLY_BYTES
            if peer is None or not is_sealed:
                opened.append(0 if peer is not None or is_sealed else size)
            else:
                octets_of_pdu = peer.open_alike(octets, at, size, number)
                opened.append(octets_of_pdu or self._open(peer, octets, at, size, slot, number))
        sizes[rows] = opened
        known[rows] &= sizes[rows] > 0

    def _open(self, peer: Peer, octets: memoryview, at: int, size: int, slot: int, number: int) -> int:
        """Put the PDU of an authentic answer to the slot's request, which has this id, in its place; octets of it, 0
        when it is not believed.
        """
        try:
            claimed, pdu = peer.open(octets[at : at + size].tobytes())
        except AgainError:  # it told us its engine or its time
            self.counts["synchronised"] += 1
            self.again.append(slot)
            return 0
        except SnmpError:  # the peer counts why
            self.counts["refused"] += 1
            self.refused.add(int(self._slots.device[slot]))
            return 0
        id_at = 4 + (pdu[1] & 0x7F if pdu[1] > 0x7F else 0)
        if claimed != number or pdu[id_at : id_at + 4] != number.to_bytes(4, "big"):
            self.counts["refused"] += 1
            return 0
        octets[at : at + len(pdu)] = pdu
        return len(pdu)

    def _compare(self, incoming: Incoming, rows: Ints, slots: Ints, sizes: Sizes) -> Answers:
        """What the replies of these rows are, the numbers of the good ones stored."""
        replies = incoming.payloads.view(np.uint64)
        good, left = [], rows
        for kept in range(LAYOUTS_KEPT):
            if not len(left):
                break
            mine = slots[left]
            layouts = self._slots.layouts[mine, kept]
            if kept and not layouts.any():
                break
            some = replies[: len(left)] if len(left) == left[-1] + 1 else replies[left]
            fits = self._layouts.fits(layouts, some, sizes[left])
            if fits.all():
                self._keep(mine, layouts, replies, left, kept)
                good.append(mine)
                left = left[:0]
            elif fits.any():
                self._keep(mine[fits], layouts[fits], replies, left[fits], kept)
                good.append(mine[fits])
                left = left[~fits]
        plain = self._read_plainly(incoming, left, slots, sizes)
        good += [plain.good]
        return Answers(np.concatenate(good), plain.odd)

    def _read_plainly(self, incoming: Incoming, rows: Ints, slots: Ints, sizes: Sizes) -> Answers:
        """Replies that fit no layout: those that say what is expected in other lengths are good."""
        good: list[int] = []
        odd: list[int] = []
        cut = incoming.cut(len(sizes)) if len(rows) else ()
        for row in rows.tolist():
            slot = int(slots[row])
            data = incoming.payloads[row, : sizes[row]].tobytes()
            try:
                shape = read_pdu(data) if self._peer_of(slot) else read_message(data)
                self._check_version(shape, slot)
            except BerError:
                # As good as lost: the request is sent again, and in the end the device is read plainly.
                if not cut[row]:
                    self.counts["malformed"] += 1
                    continue
                shape = None
            (good if shape is not None and self._take(shape, slot) else odd).append(slot)
        self.counts["odd"] += len(odd)
        self.counts["reshaped"] += len(good)
        return Answers(np.array(good, np.int64), np.array(odd, np.int64))

    def _check_version(self, shape: Shape, slot: int) -> None:
        request = self._slots.request[slot]
        if request is not None and request.version != shape.version:
            raise WrongTagError(f"version {shape.version} where {request.version} was asked")

    def _take(self, shape: Shape, slot: int) -> bool:
        """Store the numbers of a reply of another shape; False when it says something else than expected, or they
        cannot be stored. The shape is remembered when it comes again: many come only once.
        """
        request = self._slots.request[slot]
        if request is None:
            return False
        if not as_expected(request, shape):
            if len(shape.said) < request.count:
                most = request.count // 2 if shape.error_status else len(shape.said)
                self.short[int(self._slots.device[slot])] = most
            return False
        number = self._slots.id_of(slot).to_bytes(4, "big")
        if shape.data[shape.request_id_at : shape.request_id_at + 4] != number:
            return False
        loose = [at for at, _ in request.tails]
        numbers = shape.numbers(loose)
        if numbers is None or len(numbers) > NUMBERS:
            return False
        cells = self._slots.cells[slot]
        cells[: len(numbers)] = numbers
        if request.measured:
            cells[NUMBERS : NUMBERS + len(request.measured)] = text_numbers(request, shape)
            self._layouts.forget(self._slots.forget(slot))  # they hold other texts, which are read only here
        if self._slots.seen_before(slot, sum(shape.ends)):
            layout = self._layouts.learn(shape, loose)
            if layout != NO_LAYOUT:
                self._layouts.forget([self._slots.remember(slot, layout)])
        return True

    def _peer_of(self, slot: int) -> Peer | None:
        return self._peers.get(int(self._slots.device[slot]))

    def _peers_of(self, slots: Ints) -> list[Peer | None]:
        return [self._peers.get(device) for device in self._slots.device[slots].tolist()]

    def _keep(
        self, slots: Ints, layouts: Ints, replies: npt.NDArray[np.uint64], rows: Ints, kept: int
    ) -> None:
        """Store the numbers of replies of these rows, which fit the slots' layouts at this place of the kept ones."""
        numbers = self._layouts.numbers(layouts, replies, rows)
        self._slots.cells[slots, : numbers.shape[1]] = numbers
        self._slots.prefer(slots, kept)


def runs(slots: Ints, devices: Ints, lengths: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Where runs of neighbouring slots of one device begin, and how many there are in each: all as long as the first,
    the last perhaps shorter.
    """
    begin = np.ones(len(slots), np.bool_)
    begin[1:] = (np.diff(slots) != 1) | (np.diff(devices) != 0) | (lengths[1:] > lengths[:-1])
    shorter = ~begin[1:] & (lengths[1:] < lengths[:-1])
    begin[2:] |= shorter[:-1]
    begins = np.flatnonzero(begin)
    counts = np.diff(np.append(begins, len(slots)))
    if counts.max(initial=0) > SEGMENTS:
        begin |= (np.arange(len(slots)) - np.repeat(begins, counts)) % SEGMENTS == 0
        begins = np.flatnonzero(begin)
        counts = np.diff(np.append(begins, len(slots)))
    return begins, counts

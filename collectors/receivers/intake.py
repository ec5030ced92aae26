"""Where traps become events: who sent it, was it seen in this window, what does it say.

One lock: the worker brings v1 and v2c datagrams in batches, the USM thread what pysnmp has verified. What can be
settled from the envelope alone is settled there: a storm of identical traps costs one dictionary look-up each.
"""

from __future__ import annotations

import ipaddress
import threading
import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from collectors.interface import Assignment, Host
from collectors.receivers import story
from collectors.receivers.coalesce import Coalescer, Entry, Offence, Offences
from collectors.receivers.datagrams import Datagram, Peer, address_of, host_of
from collectors.receivers.decode import acknowledgement, envelope, shared, trap_name, version_of
from collectors.receivers.sources import Source, SourceBook, Verdict
from collectors.receivers.story import Arrival
from collectors.receivers.tally import Tally
from collectors.receivers.translate import Translator
from collectors.snmp.ber import IP_ADDRESS, encode_oid
from collectors.snmp.errors import BerError
from collectors.snmp.message import INFORM, TRAP_V1, V1, V3, Trap, parse_trap
from monitor.events.interface import Event

Answer = Callable[[bytes, Peer], None]
Signed = Callable[[Peer, bytes, tuple[Source, ...], Answer], None]
_VERDICT_LIMIT: Final = 10_000
_TRAP_ADDRESS: Final = encode_oid("1.3.6.1.6.3.18.1.3.0")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Letter:
    """One datagram and the way back."""

    peer: Peer
    data: bytes
    answer: Answer
    now_ms: int


class Intake:
    """`signed` is where v3 messages of registered devices go."""

    def __init__(self, host: Host, translator: Translator, tally: Tally, signed: Signed) -> None:
        self._host = host
        self._translator = translator
        self._tally = tally
        self._signed = signed
        self._lock = threading.Lock()
        self._book = SourceBook(Assignment("", (), {}, {}), lambda _address: ())
        self._verdicts: dict[tuple[bytes, bytes], Verdict] = {}
        self._windows: Coalescer[Arrival] = Coalescer()
        self._offences = Offences()
        self._culprits: dict[str, Source] = {}

    def assign(self, book: SourceBook) -> None:
        """Judge by these devices from now on."""
        with self._lock:
            self._book = book
            self._verdicts.clear()

    def take(self, batch: Sequence[Datagram], answer: Answer) -> None:
        """Everything of one socket that was read at once."""
        now_ms = self._host.clock.now_ms()
        again, repeats = self._windows.again, [0, 0]
        with self._lock:
            for peer, data in batch:
                outer = envelope(data)
                if outer is None:
                    self._unusual(_Letter(peer, data, answer, now_ms))
                    continue
                key = (peer[4:8] if len(peer) == 16 else peer[8:24], outer)
                if again(key) is None:
                    community, kind, rest = outer
                    self._fresh(_Letter(peer, data, answer, now_ms), kind, community, key, trap_name(rest))
                    continue
                repeats[outer[1] != TRAP_V1] += 1
                if outer[1] == INFORM:
                    self._acknowledge(_Letter(peer, data, answer, now_ms))
        self._count_repeats("1", repeats[0])
        self._count_repeats("2c", repeats[1])

    def take_signed(self, source: Source, trap: Trap, peer: Peer, raw: bytes) -> bool:
        """A verified v3 notification; whether it is stored or counted, so that an inform may be acknowledged."""
        now_ms = self._host.clock.now_ms()
        arrival = Arrival(source, trap, _text(peer), "3", True, now_ms, raw)
        key = (source.device.id, trap.trap_oid, repr(trap.varbinds))
        with self._lock:
            self._tally.add("zhishou_traps_accepted", "3")
            if self._windows.again(key) is not None:
                self._tally.add("zhishou_traps_repeated")
                return True
            return self._windowed(key, arrival)

    def refuse(self, reason: str, source: Source | None, peer: Peer) -> None:
        """Count a refusal, and tell it once an hour."""
        now_ms = self._host.clock.now_ms()
        with self._lock:
            self._refuse(reason, source, peer, now_ms)

    def flush(self, *, everything: bool = False) -> None:
        """Tell what the ended windows have counted; call it about once a second, and with `everything` at the end."""
        now_ms = self._host.clock.now_ms()
        with self._lock:
            for entry in self._windows.ended(now_ms, everything=everything):
                if not self._tell(self._repeat(entry, now_ms)):
                    self._tally.add("zhishou_traps_dropped", "spool", entry.repeats)
            for offence in self._offences.overdue(now_ms):
                self._tell_offence(offence, now_ms)

    # -- under the lock ---------------------------------------------------------------------------------------

    def _unusual(self, letter: _Letter) -> None:
        """Another form of v1 or v2c, v3, or no SNMP at all."""
        version = version_of(letter.data)
        if version < 0:
            self._tally.add("zhishou_traps_malformed")
        elif version == V3:
            sources = self._book.at(host_of(letter.peer))
            if sources:
                self._signed(letter.peer, letter.data, sources, letter.answer)
            else:
                self._refuse("unknown-source", None, letter.peer, letter.now_ms)
        else:
            try:
                trap = parse_trap(letter.data)
            except BerError:
                self._tally.add("zhishou_traps_malformed")
                return
            key = (host_of(letter.peer), trap.community, trap.kind, shared(trap))
            if self._windows.again(key) is None:
                self._fresh(letter, trap.kind, trap.community, key, trap.trap_oid)
                return
            self._count_repeats("1" if trap.version == V1 else "2c", 1)
            if trap.kind == INFORM:
                self._acknowledge(letter)

    def _fresh(self, letter: _Letter, kind: int, community: bytes, key: Hashable, name: bytes) -> None:
        """The first of its window, or one of which a window was not opened."""
        verdict = self._judged(letter, community)
        if verdict.refused or verdict.source is None:
            self._refuse(verdict.refused, verdict.source, letter.peer, letter.now_ms, letter.data)
            return
        version = "1" if kind == TRAP_V1 else "2c"
        device = verdict.source.device.id
        if name and self._windows.crowded((device, name), device, letter.now_ms):
            self._count_repeats(version, 1)
            stored = True
        else:
            try:
                trap = parse_trap(letter.data)
            except BerError:
                self._tally.add("zhishou_traps_malformed")
                return
            self._tally.add("zhishou_traps_accepted", version)
            peer = _text(letter.peer)
            arrival = Arrival(
                verdict.source, trap, peer, version, verdict.verified, letter.now_ms, letter.data
            )
            stored = self._windowed(key, arrival)
        if kind == INFORM and stored:
            self._acknowledge(letter)

    def _judged(self, letter: _Letter, community: bytes) -> Verdict:
        """Whose it is. The address inside is looked at only when a relay sent it."""
        host = host_of(letter.peer)
        if any(source.relay for source in self._book.at(host)):
            try:
                trap = parse_trap(letter.data)
            except BerError:
                return self._book.judge(host, community)
            return self._book.judge(host, community, _claimed(trap))
        verdict = self._verdicts.get((host, community))
        if verdict is None:
            verdict = self._book.judge(host, community)
            if len(self._verdicts) < _VERDICT_LIMIT:
                self._verdicts[host, community] = verdict
        return verdict

    def _windowed(self, key: Hashable, arrival: Arrival) -> bool:
        device = arrival.source.device.id
        kind = (device, arrival.trap.trap_oid)
        if not self._windows.first(key, kind, device, arrival, arrival.at_ms):
            self._tally.add("zhishou_traps_repeated")
            return True
        described = self._translator.describe(arrival.trap)
        stored = self._tell(story.told(self._host.collector, arrival, described))
        if not stored:
            self._tally.add("zhishou_traps_dropped", "spool")
        self._host.poll_soon(device)
        return stored

    def _repeat(self, entry: Entry[Arrival], now_ms: int) -> Event:
        described = self._translator.describe(entry.subject.trap)
        kinds = isinstance(entry.key, tuple) and isinstance(entry.key[1], tuple)
        return story.repeated(
            self._host.collector,
            entry.subject,
            described,
            entry.repeats,
            now_ms,
            folded=entry.folded,
            kinds=kinds,
        )

    def _refuse(self, reason: str, source: Source | None, peer: Peer, now_ms: int, data: bytes = b"") -> None:
        self._tally.add("zhishou_traps_refused", reason)
        place = host_of(peer) if source is None else source.device.id
        offence = self._offences.note(reason, place, now_ms)
        if offence is not None:
            if source is not None:
                self._culprits[source.device.id] = source
            self._tell_offence(offence, now_ms, data)

    def _tell_offence(self, offence: Offence, now_ms: int, data: bytes = b"") -> None:
        place = offence.place if isinstance(offence.place, str) else str(ipaddress.ip_address(offence.place))
        note = self._claim(data) if data and offence.reason.startswith("unknown") else ""
        source = self._culprits.get(place)
        self._tell(story.refused(self._host.collector, offence, place, note, source, now_ms))

    def _claim(self, data: bytes) -> str:
        """For whoever reads about a refusal: what an unknown sender says it is. Nothing of it is believed."""
        try:
            trap = parse_trap(data)
        except BerError:
            return ""
        inner = _claimed(trap)
        said = f", {'.'.join(map(str, inner))}" if len(inner) == 4 and any(inner) else ""
        return f"{self._translator.name_of(trap.trap_oid)}{said}"

    def _tell(self, event: Event) -> bool:
        stored = self._host.tell(str(uuid.uuid4()), event)
        if stored:
            self._tally.add("zhishou_trap_events")
        return stored

    def _count_repeats(self, version: str, count: int) -> None:
        if count:
            self._tally.add("zhishou_traps_repeated", count=count)
            self._tally.add("zhishou_traps_accepted", version, count)

    def _acknowledge(self, letter: _Letter) -> None:
        try:
            letter.answer(acknowledgement(letter.data), letter.peer)
        except (OSError, BerError) as error:
            log.warning("an inform could not be acknowledged", peer=_text(letter.peer), reason=str(error))
            return
        self._tally.add("zhishou_trap_informs_answered")


def _claimed(trap: Trap) -> bytes:
    """The address inside a trap: agent-addr of v1, or snmpTrapAddress (RFC 3584 section 3.1), which comes first."""
    for oid, tag, value in trap.varbinds:
        if oid == _TRAP_ADDRESS and tag == IP_ADDRESS and isinstance(value, bytes):
            return value
    return trap.agent_address


def _text(peer: Peer) -> str:
    return str(address_of(peer)[0])

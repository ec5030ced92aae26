"""One scrape: the GETs and subtree walks of a module, counted as snmp_exporter counts them.

A subtree is walked by GETBULK (v1: GETNEXT) with the module's repetitions. One whose first answer already lies
outside is asked for by GET, because a walk may name a single instance. It always ends: answers must increase, and
varbinds and time are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from collectors.profiles.modules import Filter, WalkModule
from collectors.profiles.modules_text import text
from collectors.snmp.ber import EMPTY, Oid, Typed, VarBind, decode_oid, dotted, encode_oid, increases
from collectors.snmp.client import Transport
from collectors.snmp.errors import AgentError, BudgetError, LoopError, NoAnswerError, SnmpError
from collectors.snmp.message import GET, GET_BULK, GET_NEXT
from collectors.snmp.walk import NO_SUCH_NAME, TOO_BIG, Ask, Reply
from monitor.clock import Clock

_MAX_VARBINDS: Final = 500_000
_MAX_GET: Final = 60  # OIDs in one GET
_DEFAULT_REPETITIONS: Final = 50  # when a module asks for 0


@dataclass(slots=True)
class Scrape:
    """What one module's scrape read and cost. `varbinds` keep the order they came in."""

    varbinds: dict[Oid, Typed] = field(default_factory=dict)
    returned: int = 0
    packets: int = 0
    retried: int = 0

    def take(self, varbind: VarBind) -> None:
        """Keep one varbind."""
        self.varbinds[varbind[0]] = varbind[1:]
        self.returned += 1


class ScrapeError(Exception):
    """The device could not be read; `doing` is getting or walking. The cause says why."""

    def __init__(self, doing: str, cause: SnmpError) -> None:
        self.doing = doing
        self.cause = cause
        super().__init__(str(cause))


class Scraper:
    """Asks one device for one module. `transport` makes one attempt an exchange; `deadline` is monotonic."""

    def __init__(self, transport: Transport, module: WalkModule, clock: Clock, deadline: float) -> None:
        self._transport = transport
        self._module = module
        self._clock = clock
        self._deadline = deadline
        self._scrape = Scrape()

    def run(self) -> Scrape:
        """Raises ScrapeError when the device does not answer or answers with an error."""
        gets, walks = self._filtered()
        try:
            self._get(gets)
        except SnmpError as error:
            raise ScrapeError("getting", error) from error
        try:
            for subtree in walks:
                for varbind in self._walk(subtree):
                    self._scrape.take(varbind)
        except SnmpError as error:
            raise ScrapeError("walking", error) from error
        return self._scrape

    def _filtered(self) -> tuple[list[Oid], list[Oid]]:
        """GETs and walks after the filters: a filtered table is asked row by row, for the rows all filters allow."""
        gets, walks = list(self._module.get), list(self._module.walk)
        allowed: dict[Oid, list[int]] = {}
        for rule in self._module.filters:
            try:
                rows = self._rows(rule)
            except SnmpError:
                continue  # a filter that cannot be read filters nothing, as in snmp_exporter
            walks = [oid for oid in walks if oid not in rule.targets]
            for target in rule.targets:
                before = allowed.get(target)
                allowed[target] = rows if before is None else [row for row in before if row in rows]
        for target, rows in allowed.items():
            gets = [oid for oid in gets if not oid.startswith(target)]
            gets += [encode_oid((*decode_oid(target), row)) for row in rows]
        return gets, walks

    def _rows(self, rule: Filter) -> list[int]:
        rows = []
        for oid, tag, value in self._walk(rule.oid):
            shown = text((tag, value), "DisplayString")
            if any(pattern.search(shown) is not None for pattern in rule.values):
                rows.append(decode_oid(oid)[-1])
        return rows

    def _get(self, oids: Sequence[Oid]) -> None:
        size = min(self._module.max_repetitions or 1, _MAX_GET) if self._transport.bulk else 1
        waiting = [oids[at : at + size] for at in range(0, len(oids), size)]
        while waiting:
            asked = waiting.pop(0)
            reply = self._ask(Ask(GET, asked))
            if reply.error_status == TOO_BIG and len(asked) > 1:
                half = len(asked) // 2
                waiting[:0] = [asked[:half], asked[half:]]
            elif reply.error_status == NO_SUCH_NAME and not self._transport.bulk:
                continue  # v1 says so of a single OID
            elif reply.error_status:
                raise AgentError(self._transport.where, reply.error_status)
            else:
                self._keep(reply.varbinds, set(asked))

    def _keep(self, varbinds: Iterable[VarBind], asked: set[Oid]) -> None:
        for varbind in varbinds:
            if varbind[0] in asked and varbind[1] not in EMPTY:
                self._scrape.take(varbind)

    def _walk(self, root: Oid) -> list[VarBind]:
        found: dict[Oid, VarBind] = {}
        cursor = root
        repetitions = self._module.max_repetitions or _DEFAULT_REPETITIONS
        while True:
            bulk = self._transport.bulk
            ask = Ask(GET_BULK, [cursor], repetitions) if bulk else Ask(GET_NEXT, [cursor])
            reply = self._ask(ask)
            if reply.error_status == TOO_BIG and bulk and repetitions > 1:
                repetitions //= 2
                continue
            if reply.error_status not in {0, NO_SUCH_NAME}:
                raise AgentError(self._transport.where, reply.error_status, dotted(cursor))
            if cursor is root and not reply.error_status and self._outside(root, reply):
                return self._instance(root)
            before = cursor
            cursor = self._take(root, cursor, reply, found)
            if cursor == before or reply.error_status:
                return list(found.values())
            if len(found) + self._scrape.returned > _MAX_VARBINDS:
                raise BudgetError(self._transport.where, f"{_MAX_VARBINDS} values")

    @staticmethod
    def _outside(root: Oid, reply: Reply) -> bool:
        first = reply.varbinds[0] if reply.varbinds else None
        return first is not None and first[1] not in EMPTY and not first[0].startswith(root)

    def _take(self, root: Oid, cursor: Oid, reply: Reply, found: dict[Oid, VarBind]) -> Oid:
        """Keep what lies in the subtree; gives where to go on, or `cursor` itself at the end."""
        at = cursor
        for varbind in reply.varbinds:
            oid, tag, _ = varbind
            if tag in EMPTY or not oid.startswith(root):
                return cursor
            if not increases(at, oid):
                if not self._module.non_increasing:
                    raise LoopError(self._transport.where, dotted(oid))
                if oid in found:
                    return cursor  # it has begun to repeat itself
            found[oid] = varbind
            at = oid
        return at

    def _instance(self, oid: Oid) -> list[VarBind]:
        reply = self._ask(Ask(GET, [oid]))
        return [
            varbind
            for varbind in reply.varbinds
            if not reply.error_status and varbind[0] == oid and varbind[1] not in EMPTY
        ]

    def _ask(self, ask: Ask) -> Reply:
        for attempt in range(self._module.retries + 1):
            if self._clock.monotonic() > self._deadline:
                raise BudgetError(self._transport.where, "the time of this request")
            self._scrape.packets += 1
            self._scrape.retried += attempt > 0
            try:
                return self._transport.exchange(ask)
            except NoAnswerError:
                if attempt == self._module.retries:
                    raise
        raise AssertionError("unreachable: the loop returns or raises")

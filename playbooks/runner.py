"""Runs checks on hosts through the gate: so many hosts at once, stoppable within 2 s, every outcome accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from monitor.clock import Clock
from monitor.errors import InputError
from playbooks.formats import Check, Engagement, Exchange
from playbooks.gate import Gate, HostDoor, opened
from playbooks.guard import Target, check_reason, window_reason
from playbooks.interface import Outcome
from playbooks.matchers import evidence, judge, merge
from playbooks.steps.interface import Reach, Step

log = structlog.get_logger(__name__)
FAST_SECONDS = 0.2  # kill switch and window
SLOW_SECONDS = 0.5  # progress and stop conditions, which read the database
MIN_LOSS_SAMPLE = 10


@dataclass(frozen=True, slots=True)
class PortResult:
    """What one exchange of a check gave. `recognised`: the service the check is about was there and said so."""

    port: int
    outcome: Outcome
    recognised: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check on one host."""

    check: Check
    outcome: Outcome
    reason: str = ""
    ports: tuple[PortResult, ...] = ()


@dataclass(frozen=True, slots=True)
class HostWork:
    """One host and what runs on it; `settled` needs no packet (not applicable, no credential allowed)."""

    target: Target
    checks: tuple[Check, ...]
    settled: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `reason` is empty when it ran to its end."""

    reason: str
    packets: int
    done: int
    total: int


class Journal(Protocol):
    """Where a run is written down. Called from worker threads; every method returns after its commit."""

    def finished(self) -> frozenset[tuple[str, str]]:
        """(device, address) of hosts that are complete already."""
        ...

    def record(self, target: Target, results: Sequence[CheckResult]) -> None:
        """A host is complete."""
        ...

    def attempt(self, target: Target, account: str) -> str:
        """Count a credential attempt before it is made; empty, or why it may not be made."""
        ...

    def beat(self, packets: int, done: int, total: int) -> str:
        """Progress; returns why to stop (cancelled, a stop condition), or nothing."""
        ...


@contextmanager
def no_capture(_target: Target) -> Iterator[None]:
    """Keep no packets."""
    yield


def divide(engagement: Engagement, checks: Sequence[Check], targets: Sequence[Target]) -> list[HostWork]:
    """Hosts with the checks that will run on each."""
    work = []
    for target in targets:
        verdicts = [(check, *check_reason(engagement, check, target)) for check in checks]
        settled = tuple(
            CheckResult(c, Outcome(outcome), reason) for c, outcome, reason in verdicts if outcome
        )
        work.append(HostWork(target, tuple(c for c, outcome, _ in verdicts if not outcome), settled))
    return work


class Runner:
    """One run."""

    def __init__(
        self,
        gate: Gate,
        steps: Mapping[str, Step],
        engagement: Engagement,
        clock: Clock,
        journal: Journal,
        capture: Callable[[Target], AbstractContextManager[None]] = no_capture,
    ) -> None:
        self._gate = gate
        self._steps = steps
        self._engagement = engagement
        self._clock = clock
        self._journal = journal
        self._capture = capture
        self._done = 0
        self._total = 0
        self._partial: dict[Target, list[CheckResult]] = {}
        self._records: list[asyncio.Task[None]] = []

    async def run(self, work: Sequence[HostWork]) -> RunEnd:
        """Until everything is done or something stops it; every host x check has an outcome afterwards."""
        finished = await asyncio.to_thread(self._journal.finished)
        left = [host for host in work if (host.target.device, host.target.address) not in finished]
        self._total = sum(len(host.checks) for host in work)
        self._done = self._total - sum(len(host.checks) for host in left)
        queue = iter(left)
        workers = [
            asyncio.create_task(self._work(queue))
            for _ in range(min(self._engagement.limits.concurrent_hosts, len(left)))
        ]
        watchers = [asyncio.create_task(self._watch_fast()), asyncio.create_task(self._watch_slow())]
        everyone = asyncio.create_task(_all(workers))
        await asyncio.wait({everyone, watchers[0]}, return_when=asyncio.FIRST_COMPLETED)
        for task in (*workers, *watchers):
            task.cancel()
        results = await asyncio.gather(*workers, *watchers, everyone, *self._records, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception):
                log.error("a run's worker failed", error=repr(failure))
                self._gate.stop.set("internal error")
        await self._settle(left)
        await asyncio.to_thread(self._journal.beat, self._gate.budget.used, self._done, self._total)
        return RunEnd(self._gate.stop.reason, self._gate.budget.used, self._done, self._total)

    async def _work(self, queue: Iterator[HostWork]) -> None:
        for host in queue:
            if self._gate.stop.check():
                return
            await self._host(host)

    async def _host(self, host: HostWork) -> None:
        results = self._partial.setdefault(host.target, [])
        capture = self._capture(host.target)
        await asyncio.to_thread(capture.__enter__)
        try:
            async with opened(self._gate, host.target, self._attempts(host.target)) as door:
                for check in host.checks:
                    results.append(await self._check(check, door))
                    self._done += 1
        finally:
            await asyncio.shield(asyncio.to_thread(capture.__exit__, None, None, None))
        if not self._gate.stop.check():
            del self._partial[host.target]
            await asyncio.shield(
                asyncio.to_thread(self._journal.record, host.target, [*host.settled, *results])
            )

    def _attempts(self, target: Target) -> Callable[[str], asyncio.Future[str]]:
        def attempt(account: str) -> asyncio.Future[str]:
            return asyncio.ensure_future(asyncio.to_thread(self._journal.attempt, target, account))

        return attempt

    async def _check(self, check: Check, door: HostDoor) -> CheckResult:
        outcomes, ports = [], []
        for exchange in check.exchanges:
            outcome, reason, port = await self._exchange(check, exchange, door)
            outcomes.append((outcome, reason))
            ports.append(port)
            door.close()
        outcome, reason = merge(outcomes)
        return CheckResult(check, outcome, reason, tuple(ports))

    async def _exchange(
        self, check: Check, exchange: Exchange, door: HostDoor
    ) -> tuple[Outcome, str, PortResult]:
        try:
            seen = await self._steps[check.protocol].observe(exchange, door)
            outcome, reason = judge(exchange, seen)
            kept = evidence(check, seen) if outcome is Outcome.FINDING else ""
        except Exception as error:
            # A step may be a third party's: its failure is this exchange's outcome, not the end of the run.
            log.exception("a step failed", check=check.id)
            return Outcome.ERROR, type(error).__name__, PortResult(exchange.port, Outcome.ERROR, False, "")
        recognised = seen.reach is Reach.ANSWERED and bool(exchange.service)
        return outcome, reason, PortResult(exchange.port, outcome, recognised, kept)

    async def _settle(self, left: Sequence[HostWork]) -> None:
        """Write down the hosts that a stop cut off: what did not run was not tested, never a pass."""
        if not self._gate.stop.reason:
            return
        finished = await asyncio.to_thread(self._journal.finished)
        for host in left:
            if (host.target.device, host.target.address) in finished:
                continue
            ran = self._partial.get(host.target, [])
            rest = [
                CheckResult(c, Outcome.NOT_TESTED, self._gate.stop.reason) for c in host.checks[len(ran) :]
            ]
            await asyncio.to_thread(self._journal.record, host.target, [*host.settled, *ran, *rest])

    async def _watch_fast(self) -> None:
        while not self._gate.stop.check():
            reason = window_reason(self._engagement.window, self._clock.now_ms()) or self._loss()
            if reason:
                self._gate.stop.set(reason)
            await self._gate.stop.wait(FAST_SECONDS)

    async def _watch_slow(self) -> None:
        while not self._gate.stop.check():
            reason = await asyncio.to_thread(
                self._journal.beat, self._gate.budget.used, self._done, self._total
            )
            if reason:
                self._gate.stop.set(reason)
            await self._gate.stop.wait(SLOW_SECONDS)

    def _loss(self) -> str:
        repeats, lost = self._gate.repeats, self._gate.lost
        for condition in self._engagement.stop_if:
            over = repeats >= MIN_LOSS_SAMPLE and lost / repeats > condition.ratio
            if condition.kind == "loss_over" and over:
                return f"stop condition {condition.text}"
        return ""


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def require_steps(checks: Sequence[Check], steps: Mapping[str, Step]) -> None:
    """Raises InputError when a check's protocol is not installed."""
    for check in checks:
        if check.protocol not in steps:
            raise InputError(f"no installed step speaks {check.protocol}", where=check.id)

"""From collectors' events into the tables of discovery. A bad event is logged and harms no other."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from monitor.directory import ModuleStatus
from monitor.discovery.interface import DATASET, FIND, PROGRESS
from monitor.discovery.rooms import Discovery
from monitor.errors import InputError
from monitor.events.interface import Event

log = structlog.get_logger(__name__)


def project(
    discovery: Discovery, batch: Sequence[tuple[str, Event]], statuses: Sequence[ModuleStatus]
) -> list[tuple[str, Event]]:
    """Take progress, finds and identities out of a batch; returns the events of changes, to be stored with it."""
    for key, event in batch:
        if event.get("event.dataset") != DATASET:
            continue
        try:
            _one(discovery, event)
        except (InputError, TypeError, ValueError, OverflowError) as error:
            log.warning("an event of discovery is not understood", id=key[:64], reason=str(error)[:200])
    return discovery.journal.take(statuses)


def is_passing(event: Event) -> bool:
    """Whether an event only moves a table: progress and finds are no history, the end of a scan is."""
    if event.get("event.dataset") != DATASET:
        return False
    action, state = event.get("event.action"), event.get("zhishou.state")
    return action == FIND or (action == PROGRESS and state in {"running", "queued"})


def _one(discovery: Discovery, event: Event) -> None:
    action = event.get("event.action")
    if action == PROGRESS:
        discovery.scans.hear(event)
    elif action == FIND:
        scan, at = event.get("zhishou.scan"), event.get("@timestamp")
        if not isinstance(scan, int) or not isinstance(at, int):
            raise InputError("a find needs its scan")
        discovery.proposals.take(
            str(event.get("zhishou.site") or ""), scan, str(event.get("zhishou.find") or ""), at
        )

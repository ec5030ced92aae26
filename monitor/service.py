"""The seam between the core process and the rooms that run in it.

A room offers a service through the entry-point group `zhishou.services`: a factory `build(runtime) -> Service`.
The core builds every service, mounts their blueprints on one internal WSGI application, starts them in name
order and stops them in reverse. A service that fails to start is reported and does not take the others down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flask import Blueprint
from prometheus_client import CollectorRegistry

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.database import Database
from monitor.directory import Directory
from monitor.events.interface import EventStore
from monitor.facts import FactStore
from monitor.metrics.interface import MetricStore, QueryEngine
from monitor.schedule import Schedule
from monitor.settings import Settings
from monitor.vault import Vault


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything the core hands to a service."""

    settings: Settings
    clock: Clock
    database: Database
    vault: Vault
    audit: AuditLog
    schedule: Schedule
    directory: Directory
    facts: FactStore
    events: EventStore
    store: MetricStore
    queries: QueryEngine
    registry: CollectorRegistry


class Service(Protocol):
    """A part of the core process."""

    name: str

    def blueprints(self) -> Sequence[Blueprint]:
        """Machine endpoints this service answers on the core's internal socket."""
        ...

    def start(self) -> None:
        """Begin work; returns at once. Periodic work goes to `runtime.schedule`."""
        ...

    def stop(self) -> None:
        """Stop work and flush; returns when nothing of it runs any more."""
        ...


ServiceFactory = Callable[[Runtime], Service]

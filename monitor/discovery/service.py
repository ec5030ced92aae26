"""The part of the core that discovery needs: weekly scans, scans nobody runs, proposals the inventory overtook."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint

from monitor.credentials import Credentials
from monitor.discovery.rooms import open_discovery
from monitor.service import Runtime

_TEND_SECONDS = 60.0
_WEEKLY_SECONDS = 900.0


class DiscoveryService:
    """Periodic work only; collectors speak to the ingest service."""

    name = "discovery"

    def __init__(self, runtime: Runtime) -> None:
        credentials = Credentials(runtime.database, runtime.vault)
        self._runtime = runtime
        self._discovery = open_discovery(
            runtime.database, runtime.directory, credentials, runtime.audit, runtime.clock
        )
        self._inventory = ""

    def blueprints(self) -> Sequence[Blueprint]:
        """None."""
        return []

    def start(self) -> None:
        """Begin the periodic work."""
        self._runtime.schedule.every("discovery-tend", _TEND_SECONDS, self.tend, first_in=5)
        self._runtime.schedule.every(
            "discovery-weekly", _WEEKLY_SECONDS, self._discovery.scans.start_due, first_in=30
        )

    def stop(self) -> None:
        """The schedule is the core's."""

    def tend(self) -> None:
        """Give up what nobody runs; when the inventory changed, judge proposals anew."""
        self._discovery.scans.expire()
        version = self._runtime.directory.version()
        if version != self._inventory:
            self._discovery.proposals.review()
            self._inventory = version


def build(runtime: Runtime) -> DiscoveryService:
    """The entry point of `zhishou.services`."""
    return DiscoveryService(runtime)

"""The seam of the event store. An event is a JSON object of ECS fields (`@timestamp`, `event.*`, `host.*` ...).

Flat dotted keys are used throughout, e.g. {"@timestamp": 1700000000000, "event.action": "device.down",
"zhishou.site": "H001", "zhishou.device": "H001-SW-1", "message": "..."}. Times in ms since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.model import DeviceId, Scope

Event = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What to find: newest first, within (start, end], by device, action prefix and words."""

    start_ms: int
    end_ms: int
    device: DeviceId | None = None
    action: str = ""
    text: str = ""
    limit: int = 100


class EventStore(Protocol):
    """Stores events; an id seen before is accepted and stored once."""

    def append(self, events: Sequence[tuple[str, Event]]) -> int:
        """Store (id, event) pairs durably; returns how many were new."""
        ...

    def search(self, query: EventQuery, scope: Scope) -> list[Event]:
        """Matching events of the caller's sites, newest first."""
        ...

    def close(self) -> None:
        """Release files."""
        ...

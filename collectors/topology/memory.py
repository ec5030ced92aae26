"""Who was heard on a port that has gone down since: a cut cable stays on the map as a cut cable. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from monitor.topology.facts import MAX_NEIGHBOURS, Facts

KEPT_MS: Final = 7 * 86_400_000


def with_lost(now: Facts, before: Facts | None, down: Collection[int]) -> Facts:
    """What a device says now, with the neighbours it had on ports that are down, for seven days."""
    if before is None:
        return now
    heard_on = {neighbour.port for neighbour in now.neighbours}
    lost = [
        replace(neighbour, lost_ms=neighbour.lost_ms or now.at_ms)
        for neighbour in before.neighbours
        if neighbour.port in down
        and neighbour.port not in heard_on
        and now.at_ms - (neighbour.lost_ms or now.at_ms) < KEPT_MS
    ]
    return replace(now, neighbours=(*now.neighbours, *lost)[:MAX_NEIGHBOURS])

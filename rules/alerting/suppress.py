"""Root cause, pure: which alerts are explained by a device or its uplink being down.

When a root alert (DeviceDown, UplinkDown) fires for a device, every alert of that device and of the devices that
depend on it, however far down, is suppressed under it. Of several roots the most upstream one explains them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Earlier is the better explanation when both fire on one device.
ROOT_NAMES: tuple[str, ...] = ("DeviceDown", "UplinkDown")


@dataclass(frozen=True, slots=True)
class Firing:
    """A firing alert as far as root causes go."""

    id: int
    name: str
    device: str
    fired_at: int


def roots_of(firing: Iterable[Firing], depends_on: Mapping[str, Sequence[str]]) -> dict[int, int]:
    """Alert id to the id of the alert it is suppressed under; alerts that stand for themselves are left out.

    `depends_on` maps a device to the devices it needs; cycles and unknown devices do no harm.
    """
    alerts = list(firing)
    best: dict[str, Firing] = {}
    rooted = [alert for alert in alerts if alert.device and alert.name in ROOT_NAMES]
    for alert in sorted(rooted, key=_preference):
        best.setdefault(alert.device, alert)
    if not best:
        return {}
    explained: dict[int, int] = {}
    top: dict[str, Firing | None] = {}
    for alert in alerts:
        if alert.device not in top:
            top[alert.device] = _most_upstream(alert.device, best, depends_on)
        root = top[alert.device]
        if root is not None and root.id != alert.id:
            explained[alert.id] = root.id
    heads = {alert_id: _head(alert_id, explained) for alert_id in explained}
    return {alert_id: head for alert_id, head in heads.items() if head != alert_id}


def _head(alert_id: int, explained: Mapping[int, int]) -> int:
    """The end of the chain of explanations; in a cycle of dependencies its alert with the smallest id."""
    path = [alert_id]
    while (up := explained.get(path[-1])) is not None:
        if up in path:
            return min(path[path.index(up) :])
        path.append(up)
    return path[-1]


def _preference(alert: Firing) -> tuple[int, int, int]:
    rank = ROOT_NAMES.index(alert.name) if alert.name in ROOT_NAMES else len(ROOT_NAMES)
    return rank, alert.fired_at, alert.id


def _most_upstream(
    device: str, best: Mapping[str, Firing], depends_on: Mapping[str, Sequence[str]]
) -> Firing | None:
    """The root alert farthest up the dependencies of a device (its own counts, as the nearest)."""
    found: Firing | None = None
    level, seen = [device], {device}
    while level:
        here = [best[name] for name in level if name in best]
        if here:
            found = min(here, key=_preference)
        above = sorted({up for name in level for up in depends_on.get(name, ()) if up not in seen})
        seen.update(above)
        level = above
    return found

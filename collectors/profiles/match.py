"""Which profile fits a device. Pure but for the `exists` question it is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from collectors.profiles.profile import Match, Profile
from collectors.snmp.ber import Oid

DEFAULT = "generic"


def best_match(
    profiles: Iterable[Profile], sys_object_id: Oid, sys_descr: str, exists: Callable[[Oid], bool]
) -> str:
    """Name of the best profile: longest sysObjectID prefix, then `exists`, then sysDescr; else `generic`.

    `exists(oid)` says whether the agent answers that scalar; it is asked only when all else of a match holds.
    """
    best: tuple[int, bool, bool] = (0, False, False)
    name = DEFAULT
    for profile in profiles:
        for match in profile.matches:
            score = (len(match.prefix), bool(match.exists), match.descr is not None)
            if score > best and _holds(match, sys_object_id, sys_descr, exists):
                best, name = score, profile.name
    return name


def _holds(match: Match, sys_object_id: Oid, sys_descr: str, exists: Callable[[Oid], bool]) -> bool:
    if not sys_object_id.startswith(match.prefix):
        return False
    if match.descr is not None and not match.descr.search(sys_descr):
        return False
    return not match.exists or exists(match.exists)

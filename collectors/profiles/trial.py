"""Tries a profile on a recorded walk through the whole read path, and compares with what is expected.

The expected JSON holds identity, detail and readings (`name{label=value,...}` to value) of one poll. It stands
beside the walk: `NAME.snmprec` (or `.walk`) and `NAME.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collectors.interface import Credential, PollResult
from collectors.profiles.profile import Profile
from collectors.profiles.recording import Recording
from collectors.profiles.replay import COMMUNITY, ReplayAgent
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.errors import InputError
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

WALK_SUFFIXES: Final = (".snmprec", ".walk", ".txt")
_DIGITS: Final = 6
_MAX_EXPECTED: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """Where the walk of a profile and what is expected of it stand; None when there is none."""

    walk: Path | None
    expected: Path


def files_of(name: str, folder: Path) -> Files:
    """The files of a profile in a folder."""
    walks = [folder / f"{name}{suffix}" for suffix in WALK_SUFFIXES]
    return Files(next((path for path in walks if path.is_file()), None), folder / f"{name}.json")


def replay(profiles: Mapping[str, Profile], name: str, recording: Recording) -> PollResult:
    """One poll of a recorded walk. A profile that can be recognised must be; others are named."""
    wanted = "auto" if name == "generic" or profiles[name].matches else name
    with ReplayAgent(recording.varbinds) as agent, closing(SnmpPoller(SystemClock(), profiles)) as poller:
        access = SnmpAccess("replay", port=agent.port, profile=wanted)
        device = Device(DeviceId(name), SiteId("-"), name, Kind.NETWORK, agent.host, snmp=access)
        return poller.poll(device, Credential("snmp-v2c", community=COMMUNITY))


def summary(result: PollResult) -> dict[str, object]:
    """What the expected file holds. InputError when two readings are one series."""
    readings: dict[str, float] = {}
    for reading in result.readings:
        labels = ",".join(f"{key}={value}" for key, value in reading.labels)
        key = f"{reading.name}{{{labels}}}"
        if key in readings:
            raise InputError(f"two readings are one series: {key}", zh=f"两个读数属于同一序列：{key}")
        if reading.name != "snmp_module_up":
            readings[key] = round(reading.value, _DIGITS)
    identity = {
        key: text for key, text in result.identity.items() if key not in {"profile_revision", "sys_descr"}
    }
    return {"identity": identity, "detail": _rounded(result.detail), "readings": readings}


def read_expected(path: Path) -> object:
    """The expected JSON. Raises InputError."""
    try:
        if path.stat().st_size > _MAX_EXPECTED:
            raise InputError("the expected output is too large", where=str(path))
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"not readable: {error}", where=str(path), zh=f"{path}：无法读取：{error}"
        ) from error


def write_expected(path: Path, found: Mapping[str, object]) -> None:
    """Write the expected JSON for people to review."""
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")


def differences(expected: object, found: object, place: str = "") -> Iterator[str]:
    """Where two summaries differ, as `place: expected X, found Y`."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*expected, *found]):
            at = f"{place}.{key}" if place else str(key)
            if key not in found:
                yield f"{at}: expected {_shown(expected[key])}, found nothing"
            elif key not in expected:
                yield f"{at}: not expected, found {_shown(found[key])}"
            else:
                yield from differences(expected[key], found[key], at)
    elif _is_list(expected) and _is_list(found):
        assert isinstance(expected, Sequence)
        assert isinstance(found, Sequence)
        if len(expected) != len(found):
            yield f"{place}: expected {len(expected)} entries, found {len(found)}"
        for number, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
    elif expected != found:
        yield f"{place}: expected {_shown(expected)}, found {_shown(found)}"


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) and math.isfinite(value) else value

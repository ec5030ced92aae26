"""Every profile ships a small walk of invented values, and what must come out of it.

`walks/NAME.snmprec` is the agent, `walks/NAME.json` the expected profile, identity, detail and readings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import collectors.profiles
from collectors.interface import Credential, PollResult
from collectors.profiles.loader import load_profiles, parse_profile
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.collectors.snmp.agents import RecordedAgent, UdpAgent, read_snmprec

FOLDER = Path(collectors.profiles.__file__).parent
WALKS = Path(__file__).parent / "walks"
PROFILES = load_profiles()
# Building blocks others extend: nothing matches them, so they are asked for by name.
BLOCKS = {name for name, profile in PROFILES.items() if not profile.matches and name != "generic"}


def poll(name: str) -> PollResult:
    """One poll of a recorded walk through a real socket."""
    with UdpAgent(RecordedAgent(read_snmprec(WALKS / f"{name}.snmprec")).handle) as agent:
        access = SnmpAccess("c", port=agent.port, profile=name if name in BLOCKS else "auto")
        device = Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, agent.host, snmp=access)
        poller = SnmpPoller(SystemClock(), PROFILES)
        return poller.poll(device, Credential("snmp-v2c", community="public"))


def summary(result: PollResult) -> dict[str, object]:
    """What the expected file holds."""
    readings: dict[str, float] = {}
    for reading in result.readings:
        labels = ",".join(f"{key}={value}" for key, value in reading.labels)
        key = f"{reading.name}{{{labels}}}"
        assert key not in readings, f"two readings are one series: {key}"
        if reading.name != "snmp_module_up":
            readings[key] = round(reading.value, 6)
    identity = {
        key: text for key, text in result.identity.items() if key not in {"profile_revision", "sys_descr"}
    }
    return {"identity": identity, "detail": _rounded(result.detail), "readings": readings}


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_walk_gives_what_is_expected(name: str) -> None:
    assert (WALKS / f"{name}.snmprec").is_file(), f"profile {name} lacks a walk"
    assert (WALKS / f"{name}.json").is_file(), f"profile {name} lacks its expected output"
    result = poll(name)
    assert result.up
    assert not result.errors
    assert summary(result) == json.loads((WALKS / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_walk_reaches_every_module_of_its_own(name: str) -> None:
    present = [row[0] for row in read_snmprec(WALKS / f"{name}.snmprec")]
    for module in parse_profile(FOLDER / f"{name}.yml").profile.modules:
        oids = [*module.scalars.values(), *module.columns.values()]
        assert any(row.startswith(oid) for oid in oids for row in present), (
            f"{name}: {module.name} is not shown"
        )


def test_no_walk_without_a_profile() -> None:
    assert {path.stem for path in WALKS.iterdir()} == set(PROFILES)

"""Recorded devices of many makers: who they are and what they measure, through the whole SNMP stack."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

import pytest

from collectors.interface import Credential
from collectors.profiles.loader import load_profiles
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.collectors.profiles.captures.judge import IDENTITY, VALUES, Score, judge
from tests.collectors.profiles.captures.recording import LargeRecording
from tests.collectors.profiles.captures.replay import VARIABLE, folder, poll, read_facts, serving
from tests.collectors.snmp.agents import UdpAgent

CAPTURES = folder()
DATA = Path(str(files("snmpsim_data"))) / "data"
RECORDINGS = {str(path.relative_to(DATA)).split(".snmprec")[0]: path for path in DATA.rglob("*.snmprec*")}
BUDGET_SECONDS = 30.0  # of a poll with a test agent in the same process; the largest has 3.3 million rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scores() -> list[tuple[str, Score]]:
    """The score of every capture."""
    if CAPTURES is None:
        pytest.skip(f"{VARIABLE} names no folder with captures")
    poller = SnmpPoller(SystemClock(), load_profiles())
    with serving(CAPTURES, CAPTURES / "snmp") as port:
        return [(fact.name, judge(fact, poll(port, fact.name, poller))) for fact in read_facts(CAPTURES)]


def _share(scores: list[tuple[str, Score]], families: tuple[str, ...]) -> tuple[float, list[str]]:
    right = sum(score.right.get(family, 0) for _, score in scores for family in families)
    stated = sum(score.stated.get(family, 0) for _, score in scores for family in families)
    misses = [
        f"{name}: {miss}" for name, score in scores for miss in score.misses if miss.startswith(families)
    ]
    return right / stated, misses


def test_identity_is_right(scores: list[tuple[str, Score]]) -> None:
    share, misses = _share(scores, IDENTITY)
    assert share >= 0.95, "\n".join(misses)


@pytest.mark.parametrize("family", VALUES)
def test_values_are_right(scores: list[tuple[str, Score]], family: str) -> None:
    share, misses = _share(scores, (family,))
    assert share >= 0.90, "\n".join(misses)
    by_device = [score.share(family) for _, score in scores if score.stated.get(family)]
    assert sum(share or 0.0 for share in by_device) / len(by_device) >= 0.90, "\n".join(misses)


@pytest.mark.parametrize("name", sorted(map(str, RECORDINGS)))
def test_every_public_recording_is_polled_in_time(name: str) -> None:
    with UdpAgent(LargeRecording(RECORDINGS[name]).handle) as agent:
        access = SnmpAccess("c", port=agent.port, timeout=5.0)
        device = Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, agent.host, snmp=access)
        poller = SnmpPoller(SystemClock(), load_profiles())
        result = poller.poll(device, Credential("snmp-v2c", community="public"))
    assert result.up
    assert result.duration_seconds < BUDGET_SECONDS
    assert {error.code for error in result.errors} <= {"budget"}
    assert all(math.isfinite(reading.value) for reading in result.readings)


def test_all_public_recordings_are_there() -> None:
    assert len(RECORDINGS) == 116

"""Serves recordings with the replay agent that lies beside them, and polls them through the whole SNMP stack."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collectors.interface import Credential, PollResult
from collectors.profiles.loader import load_profiles
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

VARIABLE = "CAPTURES_DATA"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one recorded device: the JSON of facts.json, typed where it is used."""

    name: str
    vendor: str
    from_librenms: bool
    expected: Mapping[str, object]


def folder() -> Path | None:
    """Where the captures lie, or None when the environment does not say."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named and (Path(named) / "snmp" / "facts.json").is_file() else None


def read_facts(captures: Path) -> list[Fact]:
    """All facts, in the order of the file."""
    rows = json.loads((captures / "snmp" / "facts.json").read_text("utf-8"))
    return [Fact(row["capture"], row["vendor"], row["source"] == "librenms", row["expected"]) for row in rows]


@contextmanager
def serving(captures: Path, recordings: Path, *, max_size: int = 60_000) -> Iterator[int]:
    """The port on the loopback where every recording of a folder answers to its name as community."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, str(captures / "replay_agent.py"), "--dir", str(recordings)]
    command += ["--listen", f"127.0.0.1:{port}", "--max-size", str(max_size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline().startswith("ready")
        try:
            yield port
        finally:
            agent.terminate()
            agent.communicate(timeout=10)


def poll(port: int, name: str, poller: SnmpPoller | None = None) -> PollResult:
    """One poll of one recording."""
    access = SnmpAccess("c", port=port, timeout=3.0, retries=1)
    device = Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, "127.0.0.1", snmp=access)
    poller = poller or SnmpPoller(SystemClock(), load_profiles())
    return poller.poll(device, Credential("snmp-v2c", community=name))

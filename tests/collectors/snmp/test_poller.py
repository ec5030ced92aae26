"""The poller: identification, partial results, errors as results; recorded real devices when they are at hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.interface import Credential, Poller
from collectors.profiles.loader import load_profiles
from collectors.snmp import ber, message
from collectors.snmp.ber import VarBind, encode_oid
from collectors.snmp.message import Message
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.collectors.snmp.agents import RecordedAgent, UdpAgent

COMMUNITY = Credential("snmp-v2c", community="public")
PROFILES = load_profiles()
IF_DESCR = encode_oid("1.3.6.1.2.1.2.2.1.2")


def box(agent: UdpAgent, *, profile: str = "auto", retries: int = 0) -> Device:
    access = SnmpAccess("c", port=agent.port, profile=profile, timeout=0.1, retries=retries)
    return Device(DeviceId("box"), SiteId("s"), "box", Kind.NETWORK, agent.host, snmp=access)


def system(descr: str, object_id: str, uptime: int = 1000) -> list[VarBind]:
    return [
        (encode_oid("1.3.6.1.2.1.1.1.0"), ber.OCTET_STRING, descr.encode()),
        (encode_oid("1.3.6.1.2.1.1.2.0"), ber.OBJECT_ID, encode_oid(object_id)),
        (encode_oid("1.3.6.1.2.1.1.3.0"), ber.TIME_TICKS, uptime),
        (IF_DESCR + b"\x01", ber.OCTET_STRING, b"port 1"),
    ]


def test_silence_is_a_result() -> None:
    poller: Poller = SnmpPoller(SystemClock(), PROFILES)
    with UdpAgent(lambda _: []) as agent:
        result = poller.poll(box(agent), COMMUNITY)
    assert not result.up
    assert [error.code for error in result.errors] == ["timeout"]
    assert "团体名" in result.errors[0].zh
    assert not result.readings
    missing = poller.poll(box(agent), None)
    assert [error.code for error in missing.errors] == ["no-credential"]


def test_a_profile_that_does_not_exist_is_a_result() -> None:
    with UdpAgent(RecordedAgent(system("x", "1.3.6.1.4.1.9")).handle) as agent:
        result = SnmpPoller(SystemClock(), PROFILES).poll(box(agent, profile="no-such"), COMMUNITY)
    assert [error.code for error in result.errors] == ["profile"]


def test_identity_is_kept_until_the_device_changes_or_restarts() -> None:
    poller = SnmpPoller(SystemClock(), PROFILES)
    serial = encode_oid("1.3.6.1.2.1.47.1.1.1.1.11")
    current = system("H3C Comware Software", "1.3.6.1.4.1.25506.1.1")

    def handler(request: Message) -> list[bytes]:
        return RecordedAgent(current).handle(request)

    with UdpAgent(handler) as agent:

        def asks_for_serial() -> tuple[bool, str]:
            agent.requests.clear()
            result = poller.poll(box(agent), COMMUNITY)
            asked = any(row[0].startswith(serial) for request in agent.requests for row in request.varbinds)
            return asked, result.identity["profile"]

        assert asks_for_serial() == (True, "h3c-comware")
        current = system("H3C Comware Software", "1.3.6.1.4.1.25506.1.1", uptime=2000)
        assert asks_for_serial() == (False, "h3c-comware")
        current = system("H3C Comware Software", "1.3.6.1.4.1.25506.1.1", uptime=5)  # restarted
        assert asks_for_serial() == (True, "h3c-comware")
        current = system("Huawei", "1.3.6.1.4.1.2011.2.23.1", uptime=6)  # replaced
        assert asks_for_serial() == (True, "huawei-vrp")


def test_one_failing_module_leaves_the_others_alone() -> None:
    recorded = RecordedAgent(system("x", "1.3.6.1.4.1.99999"))
    storage = encode_oid("1.3.6.1.2.1.25.2")

    def handler(request: Message) -> list[bytes]:
        for at, (oid, _, _) in enumerate(request.varbinds, 1):
            if oid.startswith(storage):
                return [message.encode_response(request, request.varbinds, 5, at)]
        return recorded.handle(request)

    with UdpAgent(handler) as agent:
        result = SnmpPoller(SystemClock(), PROFILES).poll(box(agent), COMMUNITY)
    assert result.up
    assert {error.code for error in result.errors} == {"genErr"}
    modules = {
        dict(reading.labels)["module"]: reading.value
        for reading in result.readings
        if reading.name == "snmp_module_up"
    }
    assert modules["if"] == 1
    assert modules["hrStorage"] == 0
    interfaces = result.detail["interfaces"]
    assert isinstance(interfaces, list)
    assert [port["descr"] for port in interfaces] == ["port 1"]
    assert interfaces[0]["speed_bps"] is None


def test_an_agent_without_a_system_group_is_still_read() -> None:
    with UdpAgent(RecordedAgent([(IF_DESCR + b"\x01", ber.OCTET_STRING, b"port 1")]).handle) as agent:
        result = SnmpPoller(SystemClock(), PROFILES).poll(box(agent), COMMUNITY)
    assert result.up
    assert result.identity.keys() == {"profile", "profile_revision"}
    assert result.identity["profile"] == "generic"
    json.dumps(result.detail)


def test_an_agent_that_refuses_the_system_group_is_up() -> None:
    recorded = RecordedAgent(system("x", "1.3.6.1.4.1.99999"))

    def handler(request: Message) -> list[bytes]:
        if request.kind == message.GET:
            return [message.encode_response(request, request.varbinds, 1, 0)]  # tooBig, whatever is asked
        return recorded.handle(request)

    with UdpAgent(handler) as agent:
        result = SnmpPoller(SystemClock(), PROFILES).poll(box(agent), COMMUNITY)
    assert result.up
    assert {error.code for error in result.errors} == {"tooBig"}
    assert result.detail["interfaces"]


def test_a_refused_existence_question_is_a_no() -> None:
    recorded = RecordedAgent(system("Some UPS", "1.3.6.1.4.1.99999"))

    def handler(request: Message) -> list[bytes]:
        if any(oid == encode_oid("1.3.6.1.2.1.33.1.2.1.0") for oid, _, _ in request.varbinds):
            return [message.encode_response(request, request.varbinds, 5, 0)]
        return recorded.handle(request)

    with UdpAgent(handler) as agent:
        result = SnmpPoller(SystemClock(), PROFILES).poll(box(agent), COMMUNITY)
    assert result.up
    assert result.identity["profile"] == "generic"


CAPTURES = Path(os.environ.get("CAPTURES_DATA", "captures"))


@pytest.fixture(scope="module")
def replay() -> Iterator[int]:
    """The replay agent of a folder of recorded devices, one community each; see CAPTURES."""
    program = CAPTURES / "replay_agent.py"
    if not program.is_file():
        pytest.skip("no recorded devices here: set CAPTURES_DATA to their folder")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, str(program), "--dir", str(CAPTURES / "snmp"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("ready")
        yield port
        running.terminate()


def test_recorded_devices(replay: int) -> None:
    """All of them answer, none fails, and vendor, serial and interface states are those known for them."""
    poller = SnmpPoller(SystemClock(), PROFILES)
    facts = json.loads((CAPTURES / "snmp" / "facts.json").read_text("utf-8"))
    vendors = serials = with_serial = states = 0
    for fact in facts:
        name, expected = fact["capture"], fact["expected"]
        access = SnmpAccess("c", port=replay)
        device = Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, "127.0.0.1", snmp=access)
        result = poller.poll(device, Credential("snmp-v2c", community=name))
        assert result.up, name
        assert not result.errors, name
        json.dumps(result.detail)
        series = [(reading.name, reading.labels) for reading in result.readings]
        assert len(series) == len(set(series)), name
        vendors += result.identity.get("vendor", "").lower() == fact["vendor"].lower()
        if expected.get("serial"):
            with_serial += 1
            serials += result.identity.get("serial") == expected["serial"]
        interfaces = result.detail["interfaces"]
        assert isinstance(interfaces, list)
        up = sum(port["oper"] == "up" for port in interfaces)
        states += up >= (expected.get("interfaces") or {}).get("oper_up", 0)
    assert vendors >= 0.9 * len(facts)
    assert serials >= 0.9 * with_serial
    assert states == len(facts)

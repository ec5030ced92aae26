"""Debian's snmpd as the real counterpart: v1, v2c, v3, and what each refusal is called."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from collectors.interface import Credential
from collectors.profiles.loader import load_profiles
from collectors.snmp.ber import encode_oid
from collectors.snmp.cli import poll
from collectors.snmp.client import Session, open_session
from collectors.snmp.errors import AuthError, NoAnswerError
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.errors import InputError, UnreachableError
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.real.snmpd import LoopbackSnmpd

SYS_NAME = encode_oid("1.3.6.1.2.1.1.5.0")
IF_DESCR = encode_oid("1.3.6.1.2.1.2.2.1.2")
V2C = Credential("snmp-v2c", community="public")
V3 = Credential(
    "snmp-v3",
    user="ops",
    auth_protocol="SHA",
    auth_password="authpass1",
    priv_protocol="AES",
    priv_password="privpass1",
)


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    folder = tmp_path_factory.mktemp("snmpd")
    with LoopbackSnmpd(folder, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as running:
        yield running


def opened(snmpd: LoopbackSnmpd, credential: Credential) -> Session:
    return open_session(
        snmpd.host, snmpd.port, credential, timeout=0.4, retries=1, clock=SystemClock(), budget=20
    )


@pytest.mark.parametrize(
    "credential", [V2C, Credential("snmp-v1", community="public"), V3], ids=lambda item: item.kind
)
def test_every_version_reads_the_same(snmpd: LoopbackSnmpd, credential: Credential) -> None:
    with opened(snmpd, credential) as client:
        assert client.get([SYS_NAME, encode_oid("1.3.6.1.2.1.99.9.0")]) == {SYS_NAME: (4, b"loopback-snmpd")}
        result = client.walk([IF_DESCR])
    assert not result.problems
    assert (4, b"lo") in result.columns[IF_DESCR].values()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"auth_password": "wrongpass"}, AuthError),
        ({"user": "nobody"}, AuthError),
        ({"priv_password": "wrongpass"}, NoAnswerError),
        ({"auth_protocol": "MD5"}, AuthError),
        ({"auth_password": "short"}, AuthError),
        ({"auth_password": ""}, AuthError),
        ({"priv_protocol": "DES"}, AuthError),
    ],
    ids=str,
)
def test_v3_refusals(snmpd: LoopbackSnmpd, changes: dict[str, str], error: type[Exception]) -> None:
    fields = {name: getattr(V3, name) for name in V3.__slots__} | changes
    with pytest.raises(error), opened(snmpd, Credential(**fields)) as client:
        client.get([SYS_NAME])


def test_v3_survives_a_restart_of_the_agent(tmp_path: Path) -> None:
    with (
        LoopbackSnmpd(tmp_path, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as agent,
        opened(agent, V3) as client,
    ):
        assert client.get([SYS_NAME])
        agent.stop()
        agent.start()
        assert client.get([SYS_NAME])


def test_a_poll_of_a_linux_host(snmpd: LoopbackSnmpd) -> None:
    access = SnmpAccess("x", port=snmpd.port)
    device = Device(DeviceId("d"), SiteId("s"), "d", Kind.SERVER, snmpd.host, snmp=access)
    poller = SnmpPoller(SystemClock(), load_profiles())
    result = poller.poll(device, V2C)
    assert result.up
    assert not result.errors
    assert result.identity["profile"] == "linux-netsnmp"
    assert result.identity["os"] == "Linux"
    by_name = {reading.name for reading in result.readings}
    assert {
        "sysUpTime",
        "ifHCInOctets",
        "device_memory_size_bytes",
        "node_load1",
        "snmp_module_up",
    } <= by_name
    total = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    memory = result.detail["memory"]
    assert isinstance(memory, list)
    assert memory[0]["size_bytes"] == int(total.split()[1]) * 1024
    with ThreadPoolExecutor(1) as other_thread:  # the agent polls from a pool of threads
        with_v3 = [poller.poll(device, V3), other_thread.submit(poller.poll, device, V3).result()]
    poller.close()
    assert [one.identity for one in with_v3] == [result.identity] * 2
    assert not [error for one in with_v3 for error in one.errors]
    wrong = poller.poll(device, dataclasses.replace(V3, auth_password="wrongpass"))
    assert [error.code for error in wrong.errors] == ["auth"]


def test_the_command_prints_the_contract(snmpd: LoopbackSnmpd) -> None:
    target = f"{snmpd.host}:{snmpd.port}"
    runner = CliRunner(catch_exceptions=False)
    with capture_logs():
        done = runner.invoke(poll, [target, "--json"])
    document = json.loads(done.stdout)
    assert set(document["device"]) == {
        "vendor", "os", "hardware", "version", "serial", "sys_name", "sys_object_id", "profile",
    }  # fmt: skip
    assert document["device"]["serial"] is None
    lo = next(port for port in document["interfaces"] if port["name"] == "lo")
    assert set(lo) == {"index", "name", "descr", "alias", "admin", "oper", "speed_bps", "mac"}
    assert (lo["admin"], lo["oper"]) == ("up", "up")
    assert set(document) == {
        "device", "interfaces", "processors", "memory", "storage", "sensors", "components", "samples",
        "modules", "errors", "duration_seconds",
    }  # fmt: skip
    assert document["modules"]["if"] == "ok"
    v3 = ["--v3-user", "ops", "--v3-auth", "SHA:authpass1", "--v3-priv", "AES:privpass1"]
    assert "loopback-snmpd" in runner.invoke(poll, [target, *v3]).stdout


def test_the_command_refuses_and_says_why(snmpd: LoopbackSnmpd) -> None:
    runner = CliRunner()
    target = f"{snmpd.host}:{snmpd.port}"
    wrong = runner.invoke(
        poll, [target, "--community", "wrong", "--timeout", "0.1", "--retries", "0", "--json"]
    )
    assert isinstance(wrong.exception, UnreachableError)
    assert wrong.exception.exit_code == 3
    assert json.loads(wrong.stdout)["errors"][0]["code"] == "timeout"
    for arguments in (
        ["127.0.0.1:70000"],
        ["[::1]:x"],
        [""],
        [target, "--profile", "no-such"],
        [target, "--v3-auth", "SHA:password1"],
        [target, "--v3-user", "ops", "--v3-auth", "password1"],
        [target, "--v3-user", "ops", "--community", "public"],
    ):
        outcome = runner.invoke(poll, arguments)
        assert isinstance(outcome.exception, InputError), arguments

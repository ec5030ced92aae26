"""Debian's snmpd and sshd, polled by the whole product: outage, recovery, and errors that name their remedy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from collectors.snmp.message import encode_response, parse_request
from monitor.clock import SystemClock
from monitor.directory import Directory
from monitor.model import WHOLE_CITY
from monitor.settings import Settings
from monitor.state import open_audit, open_database
from tests.real.product import Product
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import LoopbackSshd

INTERVAL = 3


class TruncatingAgent:
    """Answers every request with the first half of a response, as a broken device does."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, address = self._socket.recvfrom(65_535)
            if data == b"stop":
                return
            reply = encode_response(parse_request(data), [])
            self._socket.sendto(reply[: len(reply) // 2], address)

    def stop(self) -> None:
        self._socket.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


def inventory(snmpd: LoopbackSnmpd, sshd: LoopbackSshd, truncating: int) -> str:
    def device(name: str, **access: object) -> dict[str, object]:
        return {"id": name, "name": name, "kind": "server", "address": "127.0.0.1", **access}

    snmp = {"credential": "ro", "port": snmpd.port, "interval": INTERVAL, "timeout": 0.5, "retries": 0}
    ssh = {
        "credential": "login",
        "port": sshd.port,
        "interval": INTERVAL,
        "host_key": sshd.host_key_fingerprint,
    }
    devices = [
        device("agent", snmp=snmp),
        device("host", ssh=ssh),
        device("wrong-community", snmp={**snmp, "credential": "wrong"}),
        device("wrong-key", ssh={**ssh, "host_key": "SHA256:" + "A" * 43}),
        device("truncated", snmp={**snmp, "port": truncating}),
    ]
    return json.dumps(
        {
            "city": "测试市",
            "regions": [{"id": "r", "name": "测试区"}],
            "credentials": {
                "ro": {"kind": "snmp-v2c", "community": snmpd.community},
                "wrong": {"kind": "snmp-v2c", "community": "not-the-community"},
                "login": {"kind": "ssh", "user": sshd.user, "private_key": sshd.private_key},
            },
            "sites": [
                {
                    "id": "H1", "name": "测试医院", "region": "r", "grade": "tertiary", "protection_level": 3,
                    "collector": "core", "devices": devices,
                }
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, LoopbackSnmpd]]:
    folder = tmp_path_factory.mktemp("city")
    truncating = TruncatingAgent()
    with LoopbackSnmpd(folder, community="test-community") as snmpd, LoopbackSshd(folder) as sshd:
        path = folder / "inventory.yml"
        path.write_text(inventory(snmpd, sshd, truncating.port))
        with Product(folder, inventory=path) as product:
            yield product, snmpd
    truncating.stop()


def errors(product: Product, device: str) -> list[dict[str, str]]:
    settings = Settings(data=str(product.data))
    database = open_database(settings)
    statuses = Directory(database, SystemClock()).statuses(WHOLE_CITY, device)
    database.close()
    return [dict(error) for status in statuses for error in status.errors]


def is_up(product: Product, device: str) -> bool:
    return any(value == 1 for _, value in product.query(f'up{{device="{device}"}}'))


def test_both_are_polled_with_the_names_people_know(city: tuple[Product, LoopbackSnmpd]) -> None:
    product, _ = city
    product.wait(lambda: is_up(product, "agent") and is_up(product, "host"), 40, "both are up")
    product.wait(lambda: product.query('ifHCInOctets{device="agent",ifName="lo"}'), 10, "IF-MIB counters")
    product.wait(
        lambda: product.query('node_memory_MemAvailable_bytes{device="host"}'), 10, "node_exporter names"
    )
    labels = product.query('up{device="agent"}')[0][0]
    assert {"region", "site", "device", "kind", "instance", "job"} <= set(labels)


@pytest.mark.parametrize(
    ("device", "codes"),
    [
        ("wrong-community", {"timeout", "bad-community"}),
        ("wrong-key", {"host-key"}),
        ("truncated", {"truncated", "malformed"}),
    ],
)
def test_what_is_wrong_is_said_and_harms_nothing_else(
    city: tuple[Product, LoopbackSnmpd], device: str, codes: set[str]
) -> None:
    product, _ = city
    product.wait(lambda: errors(product, device), 40, f"an error of {device}")
    found = errors(product, device)
    assert {error["code"] for error in found} & codes, found
    assert all(error["zh"] and error["message"] for error in found)
    assert "not-the-community" not in json.dumps(found) + product.logs()
    assert is_up(product, "agent")


def test_an_outage_fires_within_two_polls_and_resolves(city: tuple[Product, LoopbackSnmpd]) -> None:
    product, snmpd = city

    def down() -> bool:
        return any(labels["device"] == "agent" for labels in product.firing("DeviceDown"))

    product.wait(lambda: is_up(product, "agent") and not down(), 40, "up and quiet")
    snmpd.stop()
    took = product.wait(down, 30, "DeviceDown fires")
    # Two poll intervals, the poll's own timeout, and one second each for push and evaluation.
    assert took < 2 * INTERVAL + 3.5
    snmpd.start()
    product.wait(lambda: not down(), 30, "DeviceDown resolves")


def test_killing_core_and_collector_loses_no_alert_and_no_audit_entry(
    city: tuple[Product, LoopbackSnmpd],
) -> None:
    product, snmpd = city
    snmpd.stop()

    def down() -> bool:
        return any(labels["device"] == "agent" for labels in product.firing("DeviceDown"))

    product.wait(down, 30, "DeviceDown fires")
    before = product.get("/prometheus/api/v1/alerts")["data"]["alerts"]
    active = {
        a["labels"]["device"]: a["activeAt"] for a in before if a["labels"]["alertname"] == "DeviceDown"
    }
    product.kill("core")
    product.kill("collector")
    product.wait(lambda: product.get("/prometheus/api/v1/alerts") is not None, 40, "the core is back")
    product.wait(down, 20, "the alert is still there")
    after = product.get("/prometheus/api/v1/alerts")["data"]["alerts"]
    again = {a["labels"]["device"]: a["activeAt"] for a in after if a["labels"]["alertname"] == "DeviceDown"}
    assert again["agent"][:19] == active["agent"][:19]
    settings = Settings(data=str(product.data))
    database = open_database(settings)
    report = open_audit(settings, database, SystemClock()).verify()
    database.close()
    assert report.ok, report
    snmpd.start()
    product.wait(lambda: not down(), 40, "the collector is back and the alert resolves")

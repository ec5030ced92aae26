"""/snmp in the core: who may read what, with which credential, and how many at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import generate_latest

from monitor import exposition
from monitor.credentials import Credentials
from monitor.devices import SnmpScrape
from monitor.errors import DeniedError, InputError, UnreachableError
from monitor.exposition import ExpositionService, find_target
from monitor.model import (
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Site,
    SiteId,
    SnmpAccess,
)
from monitor.service import Runtime

NOBODY: frozenset[str] = frozenset()


def site(name: str, collector: str) -> Site:
    return Site(SiteId(name), name, RegionId("r"), Grade.PRIMARY, 2, CollectorId(collector))


def device(name: str, at: str, address: str, port: int = 161, credential: str = "ro") -> Device:
    access = SnmpAccess(credential, port=port) if credential else None
    return Device(DeviceId(name), SiteId(at), name, Kind.NETWORK, address, snmp=access)


def inventory() -> Inventory:
    sites = [site("H1", "core"), site("H2", "county")]
    devices = [
        device("SW-1", "H1", "192.0.2.1"),
        device("SW-6", "H1", "2001:db8::1"),
        device("NAME", "H1", "sw.example"),
        device("SIM-1", "H1", "127.0.0.1", 16101),
        device("SIM-2", "H1", "127.0.0.1", 16102),
        device("SSH", "H1", "192.0.2.9", credential=""),
        device("LOST", "H1", "192.0.2.10", credential="gone"),
        device("FAR", "H2", "198.51.100.1"),
    ]
    return Inventory(
        "city",
        {RegionId("r"): Region(RegionId("r"), "r")},
        {s.id: s for s in sites},
        {d.id: d for d in devices},
    )


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("SW-1", "SW-1"),
        ("192.0.2.1", "SW-1"),
        ("192.0.2.1:161", "SW-1"),
        ("udp://192.0.2.1", "SW-1"),
        ("2001:DB8:0::1", "SW-6"),
        ("[2001:db8::1]:161", "SW-6"),
        ("SW.example.", "NAME"),
        ("127.0.0.1:16102", "SIM-2"),
        ("FAR", "FAR"),
    ],
)
def test_a_target_is_a_device_by_id_or_address(target: str, found: str) -> None:
    assert find_target(inventory(), target, NOBODY).id == found


@pytest.mark.parametrize(
    "target",
    [
        "192.0.2.2",
        "192.0.2.1:162",
        "SSH",
        "192.0.2.9",
        "localhost",
        "",
        "192.0.2.1:x",
        "::",
        "tcp://192.0.2.1",
        "sw-1",
    ],
)
def test_anything_else_is_denied(target: str) -> None:
    with pytest.raises(DeniedError):
        find_target(inventory(), target, NOBODY)


def test_an_address_of_several_devices_needs_its_port() -> None:
    with pytest.raises(InputError, match="2 devices"):
        find_target(inventory(), "127.0.0.1", NOBODY)


def test_a_bound_token_reads_devices_of_its_own_collector_alone() -> None:
    assert find_target(inventory(), "SW-1", frozenset({"core"})).id == "SW-1"
    for target in ("SW-1", "192.0.2.1"):
        with pytest.raises(DeniedError):
            find_target(inventory(), target, frozenset({"county"}))


@dataclass
class Seam:
    """Stands for the collectors room."""

    content_type: str = "text/plain; version=0.0.4; charset=utf-8"
    asked: list[SnmpScrape] = field(default_factory=list)
    answer: Callable[[SnmpScrape], str] = lambda _: "up 1\n"

    def scrape(self, scrape: SnmpScrape) -> str:
        self.asked.append(scrape)
        return self.answer(scrape)


@pytest.fixture
def seam(monkeypatch: pytest.MonkeyPatch) -> Seam:
    made = Seam()
    monkeypatch.setattr(exposition, "snmp_exposition", lambda folder: made)
    return made


def client_of(runtime: Runtime, places: int = 4) -> FlaskClient:
    runtime.directory.replace(inventory())
    Credentials(runtime.database, runtime.vault).put("ro", "snmp-v2c", {"community": "hidden-word"})
    app = Flask("test")
    for blueprint in ExpositionService(runtime, places=places).blueprints():
        app.register_blueprint(blueprint)
    return app.test_client()


def test_the_devices_own_credential_is_used(runtime: Runtime, seam: Seam) -> None:
    client = client_of(runtime)
    answer = client.get("/snmp?target=192.0.2.1")
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (
        200,
        "up 1\n",
        seam.content_type,
    )
    (asked,) = seam.asked
    assert (asked.address, asked.port, asked.modules, asked.kind, asked.auth) == (
        "192.0.2.1",
        161,
        ("if_mib",),
        "snmp-v2c",
        "",
    )
    assert asked.fields == {"community": "hidden-word"}
    assert "hidden-word" not in repr(asked)
    client.get("/snmp?target=SW-1&auth=ro&module=a,b&module=b&module=c")
    assert (seam.asked[1].auth, seam.asked[1].modules) == ("", ("a", "b", "c"))
    client.get("/snmp?target=SW-1&auth=public_v2", headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    assert (seam.asked[2].auth, dict(seam.asked[2].fields), seam.asked[2].budget) == ("public_v2", {}, 9.5)
    assert b'zhishou_snmp_scrapes_total{result="ok"} 3.0' in generate_latest(runtime.registry)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "'target' parameter must be specified once"),
        ("target=SW-1&target=SW-6", 400, "'target' parameter must be specified once"),
        ("target=SW-1&auth=a&auth=b", 400, "'auth' parameter must only be specified once"),
        ("target=SW-1&module=,", 400, "'module' parameter must contain at least one module name"),
        ("target=SW-1&module=" + ",".join(map(str, range(17))), 400, "more than 16"),
        ("target=SW-1&snmp_context=vlan-7", 400, "'snmp_context' parameter is not supported"),
        ("target=203.0.113.1", 403, "is not a device"),
        ("target=127.0.0.1", 400, "2 devices"),
        ("target=LOST", 400, "no usable SNMP credential"),
    ],
)
def test_bad_questions_reach_no_device(
    runtime: Runtime, seam: Seam, query: str, status: int, words: str
) -> None:
    answer = client_of(runtime).get(f"/snmp?{query}")
    assert answer.status_code == status
    assert words in answer.text
    assert not seam.asked


def test_a_token_of_another_collector_is_told_nothing(runtime: Runtime, seam: Seam) -> None:
    client = client_of(runtime)
    mine = client.get("/snmp?target=FAR", headers={"X-Zhishou-Collector": "county"})
    assert mine.status_code == 200
    foreign = client.get("/snmp?target=SW-1", headers={"X-Zhishou-Collector": "county"})
    unknown = client.get("/snmp?target=SW-9", headers={"X-Zhishou-Collector": "county"})
    assert (foreign.status_code, foreign.text.replace("SW-1", "SW-9")) == (403, unknown.text)
    assert len(seam.asked) == 1


def test_a_device_that_fails_is_told_as_the_exporter_does(runtime: Runtime, seam: Seam) -> None:
    def fail(_: SnmpScrape) -> str:
        raise UnreachableError("error walking target 192.0.2.1: request timeout (after 3 retries)")

    seam.answer = fail
    answer = client_of(runtime).get("/snmp?target=SW-1")
    assert answer.status_code == 500
    assert answer.text.startswith("An error has occurred while serving metrics:\n\n")
    assert answer.text.endswith(": error walking target 192.0.2.1: request timeout (after 3 retries)\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_only_so_many_at_a_time(runtime: Runtime, seam: Seam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_WAIT_SECONDS", 0.05)
    entered, release = threading.Event(), threading.Event()

    def wait(_: SnmpScrape) -> str:
        entered.set()
        assert release.wait(10)
        return "up 1\n"

    seam.answer = wait
    client = client_of(runtime, places=1)
    answers: list[int] = []
    first = threading.Thread(target=lambda: answers.append(client.get("/snmp?target=SW-1").status_code))
    first.start()
    assert entered.wait(10)
    other = client.application.test_client().get("/snmp?target=SW-1")
    release.set()
    first.join()
    assert (other.status_code, answers) == (503, [200])
    assert client.get("/snmp?target=SW-1").status_code == 200


def test_the_core_builds_the_service(runtime: Runtime) -> None:
    service = exposition.build(replace(runtime))
    assert service.name == "exposition"
    service.start()
    service.stop()

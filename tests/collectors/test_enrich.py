"""Identity labels, stale markers and status events."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from collectors.enrich import SeriesBook, StatusBook, event_line, heartbeat
from collectors.interface import PollError, PollResult, Reading
from monitor.ingest import parse
from monitor.metrics.interface import Labels
from monitor.model import Device, DeviceId, Kind, Probe, SiteId, SnmpAccess, SshAccess

SERVER = Device(
    DeviceId("S1"),
    SiteId("H1"),
    "HIS 数据库",
    Kind.SERVER,
    "10.1.1.1",
    ssh=SshAccess("k"),
    snmp=SnmpAccess("c", port=1161),
)


def poll(module: str = "ssh", *, at: int = 1000, up: bool = True, **readings: float) -> PollResult:
    found = [Reading(name, (), value) for name, value in readings.items()]
    return PollResult(module, up, at, 0.5, found)


def by_name(samples: list[tuple[Labels, int, float]]) -> dict[str, tuple[dict[str, str], int, float]]:
    return {dict(labels)["__name__"]: (dict(labels), at, value) for labels, at, value in samples}


@pytest.mark.parametrize(
    ("module", "device", "instance", "job"),
    [
        ("ssh", SERVER, "10.1.1.1", "node"),
        ("ssh", replace(SERVER, ssh=SshAccess("k", port=2222)), "10.1.1.1:2222", "node"),
        ("ssh", replace(SERVER, address="fd00::1", ssh=SshAccess("k", port=2222)), "[fd00::1]:2222", "node"),
        ("snmp", SERVER, "10.1.1.1:1161", "snmp"),
        ("probe:web", replace(SERVER, probes=(Probe("tcp", "web"),)), "10.1.1.1", "probe"),
    ],
)
def test_instance_and_job(module: str, device: Device, instance: str, job: str) -> None:
    labels, _, value = by_name(SeriesBook().samples(device, "R1", poll(module)))["up"]
    assert (labels["instance"], labels["job"], value) == (instance, job, 1.0)
    assert {"region": "R1", "site": "H1", "device": "S1", "kind": "server"}.items() <= labels.items()
    assert labels.get("probe") == ("web" if module == "probe:web" else None)


def test_labels_are_sorted_and_never_empty() -> None:
    reading = Reading("m", (("z", "1"), ("a", ""), ("job", "own")), 2.0)
    samples = SeriesBook().samples(SERVER, "", PollResult("ssh", True, 1, 0.0, [reading]))
    labels = next(labels for labels, _, _ in samples if dict(labels)["__name__"] == "m")
    assert list(labels) == sorted(labels)
    assert all(value for _, value in labels)
    assert dict(labels)["exported_job"] == "own"


def test_two_probes_of_a_device_have_their_own_up() -> None:
    book = SeriesBook()
    device = replace(SERVER, probes=(Probe("tcp", "a"), Probe("tcp", "b")))
    first = by_name(book.samples(device, "R", poll("probe:a")))["up"][0]
    second = by_name(book.samples(device, "R", poll("probe:b", up=False)))["up"][0]
    assert first != second


def test_a_series_that_is_gone_is_ended_once() -> None:
    book = SeriesBook()
    book.samples(SERVER, "R", poll(a=1, b=2))
    second = book.samples(SERVER, "R", poll(at=2000, a=1))
    ended = [(dict(labels)["__name__"], at) for labels, at, value in second if math.isnan(value)]
    assert ended == [("b", 2000)]
    assert not any(math.isnan(value) for _, _, value in book.samples(SERVER, "R", poll(at=3000, a=1)))


def test_a_device_that_changes_identity_ends_its_old_series() -> None:
    book = SeriesBook()
    before = {labels for labels, _, _ in book.samples(SERVER, "R1", poll(a=1))}
    samples = book.samples(SERVER, "R2", poll(at=2000, a=1))
    ended = {labels for labels, _, value in samples if math.isnan(value)}
    assert ended == before
    assert {dict(labels)["region"] for labels, _, value in samples if not math.isnan(value)} == {"R2"}


def test_a_learned_vendor_stays_while_the_device_is_down() -> None:
    book = SeriesBook()
    known = replace(poll(), identity={"vendor": "Inspur"})
    assert by_name(book.samples(SERVER, "R", known))["up"][0]["vendor"] == "Inspur"
    down = book.samples(SERVER, "R", poll(at=2000, up=False))
    assert by_name(down)["up"][0]["vendor"] == "Inspur"
    assert len(down) == 2, "nothing ended: up and duration go on"


def test_the_end_of_a_module_ends_all_its_series() -> None:
    book = SeriesBook()
    book.samples(SERVER, "R", poll(a=1))
    ended = book.end(SERVER.id, "ssh", 5000)
    assert {dict(labels)["__name__"] for labels, _, _ in ended} == {"up", "device_poll_duration_seconds", "a"}
    assert all(math.isnan(value) and at == 5000 for _, at, value in ended)
    assert book.end(SERVER.id, "ssh", 6000) == []


def test_a_series_given_twice_counts_once() -> None:
    twice = PollResult("ssh", True, 1, 0.0, [Reading("m", (), 1.0), Reading("m", (), 2.0)])
    values = [
        v for labels, _, v in SeriesBook().samples(SERVER, "R", twice) if dict(labels)["__name__"] == "m"
    ]
    assert values == [1.0]


def test_status_is_told_when_it_changes_and_every_minute() -> None:
    book = StatusBook("c1")
    assert book.event(SERVER, replace(poll(at=0), detail={"n": 1})) is not None
    assert book.event(SERVER, replace(poll(at=59_000), detail={"n": 2})) is None, "only values changed"
    assert book.event(SERVER, replace(poll(at=60_000), detail={"n": 3})) is not None
    ports = [{"name": "eth0", "oper": "up", "speed_bps": 1}]
    assert book.event(SERVER, replace(poll(at=61_000), detail={"interfaces": ports})) is not None
    faster = [{"name": "eth0", "oper": "up", "speed_bps": 2}]
    assert book.event(SERVER, replace(poll(at=62_000), detail={"interfaces": faster})) is None
    down_port = [{"name": "eth0", "oper": "down", "speed_bps": 2}]
    assert book.event(SERVER, replace(poll(at=63_000), detail={"interfaces": down_port})) is not None
    error = PollError("timeout", "no answer", "无应答")
    down = book.event(SERVER, replace(poll(at=301_000, up=False), errors=[error]))
    assert down is not None
    assert "无应答" in str(down[1]["message"])
    assert book.event(SERVER, replace(poll("snmp", at=301_000))) is not None, (
        "another module is another state"
    )
    assert book.event(SERVER, replace(poll(at=302_000), identity={"os": "x"})) is not None
    book.forget(SERVER.id, "ssh")
    assert book.event(SERVER, replace(poll(at=303_000), identity={"os": "x"})) is not None


def test_events_are_json_lines_with_their_own_ids() -> None:
    first = StatusBook("c1").event(SERVER, replace(poll(), detail={"bad": float("nan"), "odd": {1: {2}}}))
    assert first is not None
    line = event_line(*first)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    document = json.loads(line)
    assert json.loads(document["event"]["zhishou.detail"])["bad"] is None
    assert document["id"] != heartbeat("c1", 1, 2, 3)[0]
    assert heartbeat("c1", 1, 2, 3)[1]["zhishou.spooled_samples"] == 2


def test_the_core_understands_what_we_send() -> None:
    told = StatusBook("c1").event(
        SERVER, replace(poll(up=False), errors=[PollError("a", "b", "c")], detail={"x": [1]})
    )
    assert told is not None
    lines = event_line(*told) + event_line(*heartbeat("c1", 5, 6, 7))
    assert [dict(event)["event.dataset"] for _, event in parse(lines)] == [
        "zhishou.poll",
        "zhishou.collector",
    ]

"""Scans beside a collector's polls: ordered, told, cancelled, taken up after a restart, and never a harm to the polls."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collectors.discovery.companion import DiscoveryCompanion, ScanJournal, build
from collectors.discovery.scan import Scan, Start
from collectors.interface import Assignment, Credential, Host
from collectors.profiles.profile import Profile
from monitor.clock import Clock, SystemClock
from monitor.discovery.interface import ScanOrder
from monitor.events.interface import Event
from monitor.metrics.interface import Labels
from monitor.model import Device, DeviceId, Kind, SiteId
from monitor.settings import Settings
from tests.collectors.discovery.street import House, Street, rows

ORDER = ScanOrder(
    7, SiteId("H001"), ("127.77.0.1-20",), ("right",), rate=1000.0, timeout=0.15, retries=0, created_at=5
)


class Desk(Host):
    """A Host that keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self.told: list[Event] = []
        self.room = True
        self.changed = threading.Condition()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def collector(self) -> str:
        return "core"

    @property
    def folder(self) -> Path:
        return self._folder

    def tell(self, key: str, event: Event) -> bool:
        with self.changed:
            if self.room:
                self.told.append(event)
            self.changed.notify_all()
            return self.room

    def record(self, samples: Sequence[tuple[Labels, int, float]]) -> bool:
        raise AssertionError(samples)

    def poll_soon(self, device: DeviceId) -> bool:
        raise AssertionError(device)

    def wait(self, wanted: Callable[[], bool], seconds: float = 20.0) -> None:
        with self.changed:
            assert self.changed.wait_for(wanted, seconds), self.told

    def states(self, scan: int = 7) -> list[str]:
        return [
            str(e["zhishou.state"])
            for e in self.told
            if e["event.action"] == "scan.progress" and e["zhishou.scan"] == scan
        ]

    def finds(self) -> list[str]:
        return [
            json.loads(str(e["zhishou.find"]))["address"]
            for e in self.told
            if e["event.action"] == "scan.find"
        ]


def assignment(*orders: ScanOrder, devices: Sequence[Device] = ()) -> Assignment:
    credentials = {"right": Credential("snmp-v2c", community="right")}
    return Assignment("1", devices, {SiteId("H001"): "R1"}, credentials, orders)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def companion(desk: Desk, profiles: Mapping[str, Profile]) -> Iterator[DiscoveryCompanion]:
    made = DiscoveryCompanion(desk, profiles)
    made.start()
    yield made
    made.stop()


def test_an_order_is_run_once_and_told(desk: Desk, companion: DiscoveryCompanion) -> None:
    icu = Device(DeviceId("ICU"), SiteId("H001"), "监护", Kind.MEDICAL, "127.77.0.3", do_not_probe="生命支持")
    with Street({"127.77.0.2": House(rows("sw")), "127.77.0.3": House(rows("icu"))}) as street:
        order = replace(ORDER, port=street.port)
        companion.assign(assignment(order, devices=[icu]))
        desk.wait(lambda: "done" in desk.states())
        assert street.communities("127.77.0.3") == []
        count = len(desk.told)
        companion.assign(assignment(order, devices=[icu]))  # the core has not heard of the end yet
        time.sleep(0.2)
        assert len(desk.told) == count
    assert desk.finds() == ["127.77.0.2"]
    first, last = desk.told[0], desk.told[-1]
    assert (first["zhishou.state"], first["zhishou.total"]) == ("running", 20)
    assert json.loads(str(first["zhishou.skipped"])) == [
        {"address": "127.77.0.3", "device": "ICU", "reason": "生命支持"}
    ]
    assert (last["zhishou.state"], last["zhishou.done"], last["zhishou.found"]) == ("done", 20, 1)
    assert {e["zhishou.site"] for e in desk.told} == {"H001"}
    assert "right" not in json.dumps([e for e in desk.told if e["event.action"] != "scan.find"])


def test_orders_are_run_one_after_another(desk: Desk, companion: DiscoveryCompanion) -> None:
    companion.assign(assignment(replace(ORDER, id=9, port=9), replace(ORDER, port=9)))
    desk.wait(lambda: "done" in desk.states(9) and "done" in desk.states(7))
    ids = [event["zhishou.scan"] for event in desk.told]
    assert ids == sorted(ids)  # type: ignore[type-var]


def test_an_order_that_is_taken_back_stops(desk: Desk, companion: DiscoveryCompanion) -> None:
    companion.assign(assignment(replace(ORDER, port=9, rate=1.0)))
    desk.wait(lambda: desk.states() == ["running"])
    companion.assign(assignment())
    desk.wait(lambda: desk.states()[-1] == "cancelled", 3.0)


def test_a_restart_takes_the_scan_up(desk: Desk, profiles: Mapping[str, Profile]) -> None:
    houses = {f"127.77.0.{n}": House(rows(f"sw-{n}")) for n in range(1, 21)}
    with Street(houses) as street:
        first = DiscoveryCompanion(desk, profiles)
        first.start()
        first.assign(assignment(replace(ORDER, port=street.port, rate=60.0)))
        desk.wait(lambda: len(desk.finds()) >= 3)
        began = time.monotonic()
        first.stop()
        assert time.monotonic() - began < 2.5
        assert set(desk.states()) == {"running"}  # the core hears nothing of an end
        mark = int(json.loads((desk.folder / "discovery.json").read_text("utf-8"))["open"]["7-5"]["mark"])
        street.heard.clear()
        second = DiscoveryCompanion(desk, profiles)
        second.start()
        second.assign(assignment(replace(ORDER, port=street.port)))
        desk.wait(lambda: "done" in desk.states())
        second.stop()
        asked_again = {int(address.rpartition(".")[2]) for _, address, _ in street.heard}
    assert mark >= 1
    assert min(asked_again) == mark + 1
    assert set(desk.finds()) == set(houses)
    assert (desk.told[-1]["zhishou.done"], desk.told[-1]["zhishou.found"]) == (20, 20)


def test_an_end_that_finds_no_room_is_told_later(
    desk: Desk, companion: DiscoveryCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.discovery.companion._AGAIN_SECONDS", 0.05)
    desk.room = False
    companion.assign(assignment(replace(ORDER, port=9)))
    time.sleep(0.6)
    with desk.changed:
        desk.room = True
    desk.wait(lambda: "done" in desk.states())


def test_a_fault_ends_that_scan_with_a_reason_and_no_other(
    desk: Desk, companion: DiscoveryCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Scan.run

    def faulty(self: Scan, *args: object) -> object:
        if self._order.id == 7:
            raise RuntimeError("bug")
        return honest(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Scan, "run", faulty)
    bad = replace(ORDER, id=8, ranges=("10.0.0.0/8",))
    companion.assign(assignment(replace(ORDER, port=9), bad, replace(ORDER, id=9, port=9)))
    desk.wait(lambda: "done" in desk.states(9))
    assert desk.states(7)[-1] == desk.states(8)[-1] == "failed"
    reasons = {e["zhishou.scan"]: e for e in desk.told if e["zhishou.state"] == "failed"}
    assert reasons[7]["zhishou.reason_code"] == "internal"
    assert "65536" in str(reasons[8]["zhishou.reason_message"])
    assert reasons[8]["zhishou.reason_zh"]


def test_the_journal_survives_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "discovery.json"
    for text in ("", "[]", '{"open": {"7-5": 3}, "over": []}', '{"open": {}}'):
        path.write_text(text, "utf-8")
        assert ScanJournal(path).start("7-5") == Start()
    journal = ScanJournal(path)
    journal.note("7-5", Start(4, 2, 9, 1.5))
    assert ScanJournal(path).start("7-5") == Start(4, 2, 9, 1.5)
    journal.end("7-5")
    assert ScanJournal(path).over("7-5")
    assert not ScanJournal(path).over("7-6")  # the same number of another installation


def test_a_disk_that_is_full_costs_the_place_only(tmp_path: Path) -> None:
    journal = ScanJournal(tmp_path / "gone" / "discovery.json")
    journal.note("7-5", Start(4))
    assert journal.start("7-5").mark == 4


def test_the_entry_point_builds_one(desk: Desk) -> None:
    made = build(desk, Settings(data=str(desk.folder)), CollectorRegistry())
    made.stop()  # never started

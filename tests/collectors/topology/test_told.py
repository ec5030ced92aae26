"""What a map of neighbours becomes on its way to the core: no series, and an event when it changed or an hour passed."""

from __future__ import annotations

import json
from dataclasses import replace

from collectors.enrich import SeriesBook, StatusBook
from collectors.interface import PollError, PollResult
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.directory import Directory, ModuleStatus
from monitor.model import WHOLE_CITY, Device, DeviceId, Inventory, Kind, SiteId, SnmpAccess
from monitor.topology.facts import Facts, Learned, Neighbour, from_detail, to_detail

SWITCH = Device(DeviceId("S1"), SiteId("H1"), "核心", Kind.NETWORK, "10.1.1.1", snmp=SnmpAccess("c"))
HEARD = Neighbour("lldp", 1, "GE0/0/1", "mac:00e0fc000001", "name:GE0/0/2", name="ACC-1")
FACTS = Facts(0, "CORE", neighbours=(HEARD,), fdb=(Learned(1, 1, ("00e0fc000009",)),))
MINUTE = 60_000


def told(book: StatusBook, facts: Facts, at: int) -> bool:
    detail = to_detail(replace(facts, at_ms=at))
    return book.event(SWITCH, PollResult("topology", True, at, 1.0, detail=detail)) is not None


def test_a_map_makes_no_series() -> None:
    book = SeriesBook()
    for up in (True, False):
        assert book.samples(SWITCH, "R", PollResult("topology", up, 1000, 1.0)) == []
    assert [dict(s[0])["__name__"] for s in book.samples(SWITCH, "R", PollResult("snmp", True, 1, 1.0))] == [
        "up",
        "device_poll_duration_seconds",
    ]


def test_it_is_told_when_it_changes_and_every_hour() -> None:
    book = StatusBook("c1")
    assert told(book, FACTS, 0)
    assert not told(book, FACTS, 15 * MINUTE)
    learned = replace(FACTS, fdb=(Learned(2, 1, ("00e0fc000009",)),))
    assert not told(book, learned, 30 * MINUTE)  # a conversation moved: it waits for the hour
    moved = replace(FACTS, neighbours=(replace(HEARD, port=2),))
    assert told(book, moved, 45 * MINUTE)
    assert not told(book, moved, 104 * MINUTE)
    assert told(book, moved, 105 * MINUTE)


def test_a_map_that_fails_is_told_at_once_and_the_last_one_stays(
    database: Database, clock: ManualClock
) -> None:
    directory = Directory(database, clock)
    directory.replace(Inventory("云溪市", devices={SWITCH.id: SWITCH}))
    book, error = StatusBook("c1"), PollError("timeout", "no answer", "没有应答")
    results = [
        PollResult("topology", True, 1000, 1.0, detail=to_detail(FACTS)),
        PollResult("topology", False, 2000, 1.0, errors=[error]),
    ]
    for result in results:
        event = book.event(SWITCH, result)
        assert event is not None
        detail = json.loads(str(event[1]["zhishou.detail"]))
        directory.record_statuses(
            [ModuleStatus(SWITCH.id, "topology", result.up, result.at_ms, result.at_ms, (), {}, detail)]
        )
    kept = directory.details(WHOLE_CITY, "topology", "H1")[0]
    assert not kept.up
    assert not kept.of_device
    assert from_detail(kept.detail) == FACTS
    assert directory.details(WHOLE_CITY, "topology", "H2") == []

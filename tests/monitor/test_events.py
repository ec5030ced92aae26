"""The event store contract, on the embedded store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import InputError
from monitor.events.interface import Event, EventQuery
from monitor.events.sqlite import SqliteEvents
from monitor.model import WHOLE_CITY, DeviceId, Scope, SiteId

DAY = 86_400_000
NOON = 1_795_262_400_000


def event(at: int, device: str = "D1", site: str = "H001", **more: str) -> Event:
    return {"@timestamp": at, "zhishou.device": device, "zhishou.site": site, **more}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEvents]:
    made = SqliteEvents(tmp_path)
    yield made
    made.close()


def found(store: SqliteEvents, scope: Scope = WHOLE_CITY, **more: object) -> list[int]:
    query = EventQuery(start_ms=0, end_ms=NOON + 10 * DAY, **more)  # type: ignore[arg-type]
    return [int(e["@timestamp"] or 0) for e in store.search(query, scope)]


def test_newest_first_across_days(store: SqliteEvents) -> None:
    assert store.append([("a", event(NOON)), ("b", event(NOON - DAY)), ("c", event(NOON - 3 * DAY))]) == 3
    assert found(store) == [NOON, NOON - DAY, NOON - 3 * DAY]
    assert found(store, limit=2) == [NOON, NOON - DAY]


def test_an_id_seen_before_is_stored_once(store: SqliteEvents) -> None:
    assert store.append([("a", event(NOON))]) == 1
    assert store.append([("a", event(NOON)), ("b", event(NOON + 1))]) == 1
    assert len(found(store)) == 2


def test_filters(store: SqliteEvents) -> None:
    store.append(
        [
            ("a", event(NOON, "D1", **{"event.action": "device.down", "message": "核心交换机失联"})),
            ("b", event(NOON + 1, "D2", **{"event.action": "device.up"})),
            ("c", event(NOON + 2, "D1", site="H002")),
        ]
    )
    assert found(store, device=DeviceId("D1")) == [NOON + 2, NOON]
    assert found(store, action="device.d") == [NOON]
    assert found(store, text="失联") == [NOON]
    assert found(store, Scope(frozenset({SiteId("H002")}))) == [NOON + 2]
    assert found(store, Scope(frozenset())) == []


@pytest.mark.parametrize("stamp", [None, "yesterday", True, -5, 1 << 50])
def test_an_event_without_a_time_is_refused_and_nothing_is_stored(store: SqliteEvents, stamp: object) -> None:
    bad: Event = {"@timestamp": stamp}  # type: ignore[dict-item]
    with pytest.raises(InputError):
        store.append([("a", event(NOON)), ("b", bad)])
    assert found(store) == []


def test_days_past_retention_are_unlinked_but_never_before_180_days(
    store: SqliteEvents, tmp_path: Path
) -> None:
    store.append([("a", event(NOON)), ("b", event(NOON - 179 * DAY)), ("c", event(NOON - 200 * DAY))])
    assert store.expire(1, NOON) == 1
    assert found(store) == [NOON, NOON - 179 * DAY]


def test_events_outlive_the_process(tmp_path: Path) -> None:
    first = SqliteEvents(tmp_path)
    first.append([("a", event(NOON))])
    first.close()
    second = SqliteEvents(tmp_path)
    assert found(second) == [NOON]
    second.close()

"""How the store says it is: damage, a full disk, limits and a back end that lags, as the core answers it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.clock import ManualClock
from monitor.core import build_app
from monitor.documents import from_document
from monitor.metrics.condition import ADDRESS, MIN_FREE_BYTES, Count, Recent, StoreReport, Trouble, troubles
from monitor.metrics.errors import StorageError
from monitor.metrics.frames import SystemDisk
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.cursor import Cursor, save_cursor
from monitor.metrics.remote_write import CONTENT_TYPE, encode
from monitor.metrics.service import MetricsService
from monitor.metrics.store import LocalStore
from monitor.service import Runtime
from tests.monitor.metrics.damage import damaged_folder

MINUTE = 60_000
UP = make_labels({"site": "H001", "device": "D1"}, "up")
Open = Callable[..., tuple[FlaskClient, LocalStore, MetricsService]]


class Disk(SystemDisk):
    """Refuses to write while it is full."""

    full = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


@pytest.fixture
def opened(runtime: Runtime, tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
    """Opens the store of the data folder as the core does."""
    stores: list[LocalStore] = []
    services: list[MetricsService] = []

    def make(disk: Disk | None = None, **settings: str) -> tuple[FlaskClient, LocalStore, MetricsService]:
        store = LocalStore(tmp_path / "metrics", clock, disk=disk)
        stores.append(store)
        chosen = replace(runtime.settings, **settings)  # type: ignore[arg-type]
        mine = replace(runtime, settings=chosen, store=store, queries=PromqlEngine(store))
        service = MetricsService(mine)
        services.append(service)
        client = build_app(mine, [service]).test_client()
        service.start()
        return client, store, service

    yield make
    for service in services:
        service.stop()
    for store in stores:
        store.close()


def report_of(client: FlaskClient) -> StoreReport:
    return from_document(StoreReport, orjson.loads(client.get(ADDRESS).data))


def write(client: FlaskClient, at: int, device: str = "D1", site: str = "H001") -> int:
    labels = make_labels({"site": site, "device": device}, "up")
    answer = client.post(
        "/prometheus/api/v1/write",
        data=encode(block_of([(labels, at, 1.0)])),
        headers={"Content-Type": CONTENT_TYPE, "Content-Encoding": "snappy"},
    )
    return answer.status_code


def test_a_sound_store_has_figures_and_no_trouble(opened: Open, clock: ManualClock) -> None:
    client, _, _ = opened()
    for second in range(60):
        assert write(client, clock.now_ms() + second) == 200
    clock.advance(60)
    report = report_of(client)
    assert troubles(report) == []
    assert (report.series, report.samples_per_second, report.damaged) == (1, 1.0, ())
    assert report.held_from_ms == clock.now_ms() - MINUTE
    assert report.wal_bytes > 0
    assert (report.queries_running, report.queries_places) == (0, 16)
    assert report.remote is None


def test_an_empty_store_holds_nothing(opened: Open) -> None:
    report = report_of(opened()[0])
    assert (report.held_from_ms, report.series, report.samples_per_second) == (0, 0, None)


def test_flipped_bytes_are_told_by_kind_and_the_rest_is_served(
    opened: Open, tmp_path: Path, clock: ManualClock
) -> None:
    before = damaged_folder(tmp_path / "metrics", clock)
    client, _, _ = opened()
    assert report_of(client).damaged == (Count("wal", 1),)
    answer = client.get(
        f"/prometheus/api/v1/query?query=count_over_time(m0[5h])&time={clock.now_ms() / 1000}"
    )
    left = {r["metric"]["device"]: int(r["value"][1]) for r in answer.get_json()["data"]["result"]}
    report = report_of(client)
    assert report.damaged == (Count("wal", 1), Count("chunk", 1))
    assert report.set_aside == 1
    assert troubles(report) == [Trouble.DAMAGED]
    assert 0 < sum(left.values()) < before


def test_a_full_disk_is_told_until_it_takes_samples_again(opened: Open, clock: ManualClock) -> None:
    disk = Disk()
    client, _, _ = opened(disk)
    assert write(client, clock.now_ms()) == 200
    disk.full = True
    since = clock.now_ms()
    for _ in range(2):
        clock.advance(10)
        assert write(client, clock.now_ms()) == 503
    report = report_of(client)
    assert report.writing is not None
    assert report.writing.since_ms == since + 10_000
    assert "No space left on device" in report.writing.text
    assert "指标日志写入失败" in report.writing.zh
    assert troubles(report) == [Trouble.REFUSING]
    disk.full = False
    assert write(client, clock.now_ms()) == 200
    assert troubles(report_of(client)) == []


def test_samples_that_cannot_be_sealed_are_told(opened: Open, clock: ManualClock) -> None:
    disk = Disk()
    client, _, service = opened(disk)
    assert write(client, clock.now_ms()) == 200
    clock.advance(5 * 3600)
    disk.full = True
    with pytest.raises(StorageError):
        service.upkeep()
    report = report_of(client)
    assert troubles(report)[0] is Trouble.SEALING
    disk.full = False
    service.upkeep()
    assert troubles(report_of(client)) == []


def test_refused_series_are_told_for_an_hour(opened: Open, clock: ManualClock) -> None:
    client, store, service = opened()
    store.cardinality._limit_of_site = 1
    assert write(client, clock.now_ms(), "D1") == 200
    assert write(client, clock.now_ms(), "D2") == 400
    assert write(client, clock.now_ms(), "D1", "H002") == 200
    assert report_of(client).series_refused == (Count("H001", 1),)
    assert troubles(report_of(client)) == [Trouble.SERIES_REFUSED]
    for _ in range(62):
        clock.advance(60)
        service.upkeep()
    assert report_of(client).series_refused == ()


class Forwarding(Collector):
    """What the service of the back end shows."""

    lag = 900.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("zhishou_remote_lag_seconds", "Lag.", value=self.lag)
        yield GaugeMetricFamily("zhishou_remote_pending_bytes", "Waiting.", value=5000)


def test_a_back_end_that_lags_fails_or_loses_samples(
    opened: Open, tmp_path: Path, runtime: Runtime, clock: ManualClock
) -> None:
    folder = tmp_path / "metrics" / "remote"
    folder.mkdir(parents=True)
    save_cursor(folder, Cursor("http://far", dropped={"expired": 40}))
    runtime.registry.register(Forwarding())
    client, _, _ = opened(remote_write_url="http://far/api/v1/write")
    report = report_of(client)
    assert report.remote is not None
    assert (report.remote.lag_seconds, report.remote.pending_bytes, report.remote.dropped) == (900.0, 5000, 0)
    assert troubles(report) == [Trouble.REMOTE_BEHIND]
    failing = Cursor(
        "http://far", dropped={"expired": 47}, failure="status 500", failing_since_ms=clock.now_ms()
    )
    save_cursor(folder, failing)
    report = report_of(client)
    assert report.remote is not None
    assert (report.remote.failure, report.remote.dropped) == ("status 500", 7)
    assert troubles(report) == [Trouble.REMOTE_DROPPED, Trouble.REMOTE_DOWN]


def test_a_disk_that_is_nearly_full_and_refused_queries_are_troubles(opened: Open) -> None:
    report = report_of(opened()[0])
    assert troubles(replace(report, free_bytes=MIN_FREE_BYTES - 1)) == [Trouble.DISK_FULL]
    assert troubles(replace(report, queries_refused=1)) == [Trouble.QUERIES_REFUSED]


def test_growth_is_of_the_last_hour_and_a_new_counter_grew_from_nothing() -> None:
    recent = Recent()
    assert recent.grown({"a": 5.0}) == {}
    assert recent.per_second(0, "a", 5.0) is None
    for minute in range(121):
        recent.note(minute * MINUTE, {"a": float(minute)})
    assert recent.grown({"a": 120.0, "b": 3.0}) == {"a": 60, "b": 3}
    assert recent.per_second(120 * MINUTE + 10_000, "a", 121.0) == pytest.approx(2 / 70)
    assert recent.per_second(121 * MINUTE, "a", 0.0) == 0.0

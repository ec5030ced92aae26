"""The back end's service in the core: forwarding in a thread of its own, its numbers as `zhishou_remote_*`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from flask import Blueprint
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.metrics.interface import MetricStore, QueryEngine
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.backend import Backend, access_of
from monitor.metrics.remote.cursor import load_cursor
from monitor.metrics.remote.forwarder import Forwarder
from monitor.metrics.remote.interface import ForwardState, Keep
from monitor.metrics.remote.longrange import Held, LongRangeQueries, LongRangeStore
from monitor.metrics.remote.queries import RemoteQueries
from monitor.metrics.store import LocalStore
from monitor.metrics.wal_reader import WalReader
from monitor.service import Runtime, Service
from monitor.settings import Settings

_WRITE_TIMEOUT_SECONDS = 30.0
_DAY_MS = 86_400_000


def forward_folder(settings: Settings) -> Path:
    """Where the cursor is."""
    return settings.folder / "metrics" / "remote"


class ForwardCollector(Collector):
    """The numbers of forwarding."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    def collect(self) -> Iterator[Metric]:
        """What was sent and dropped, and how far behind the back end is."""
        state = self._forwarder.state()
        cursor = state.cursor
        for name, text, value in (
            ("samples_sent", "Samples the metrics back end has taken.", cursor.sent),
            ("retries", "Requests to the metrics back end that have to be repeated.", cursor.retries),
            ("refused_batches", "Requests the metrics back end refused for good.", cursor.refused_batches),
        ):
            yield _counter(f"zhishou_remote_{name}", text, value)
        dropped = CounterMetricFamily(
            "zhishou_remote_samples_dropped", "Samples that were not forwarded.", labels=["reason"]
        )
        for reason in sorted({"refused", "expired", *cursor.dropped}):
            dropped.add_metric([reason], cursor.dropped.get(reason, 0))
        yield dropped
        yield from _gauges(state)


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], value)
    return family


def _gauges(state: ForwardState) -> Iterator[Metric]:
    for name, text, value in (
        ("up", "Whether the metrics back end took the last request.", not state.cursor.failure),
        ("lag_seconds", "Age of the oldest sample the metrics back end has yet to take.", state.lag_seconds),
        ("pending_bytes", "Bytes of the metric log still to be forwarded.", state.pending_bytes),
        ("log_damaged", "Damaged stretches of the metric log that could not be forwarded.", state.damaged),
        (
            "log_missing",
            "Segments of the metric log that were gone before they were forwarded.",
            state.missing,
        ),
    ):
        family = GaugeMetricFamily(f"zhishou_remote_{name}", text)
        family.add_metric([], float(value))
        yield family


class RemoteService:
    """Implements monitor.service.Service; does nothing unless `remote_write_url` is set."""

    name = "remote"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reader: WalReader | None = None
        self._running: tuple[Forwarder, threading.Thread, ForwardCollector] | None = None
        store = runtime.store
        if runtime.settings.remote_write_url and isinstance(store, LocalStore):
            reader = WalReader(runtime.settings.folder / "metrics" / "wal")
            # Before anything else can go wrong: from now on the store deletes no segment by itself.
            store.keep_log(reader.retire)
            self._reader = reader

    def blueprints(self) -> Sequence[Blueprint]:
        """None."""
        return []

    def start(self) -> None:
        """Forward in a thread."""
        store, settings = self._runtime.store, self._runtime.settings
        if self._reader is None or not isinstance(store, LocalStore):
            return
        access = access_of(settings, settings.remote_write_url, _WRITE_TIMEOUT_SECONDS)
        forwarder = Forwarder(
            self._reader,
            store.labels_of,
            Backend(access, reopen=False),
            forward_folder(settings),
            self._runtime.clock,
            Keep(settings.remote_keep_mib << 20, round(settings.remote_keep_hours * 3_600_000)),
        )
        thread = threading.Thread(target=forwarder.run, name="remote-write", daemon=True)
        collector = ForwardCollector(forwarder)
        self._runtime.registry.register(collector)
        self._running = forwarder, thread, collector
        thread.start()

    def stop(self) -> None:
        """Cut the request under way; it is sent again at the next start."""
        if self._running is None:
            return
        forwarder, thread, collector = self._running
        self._running = None
        forwarder.stop()
        thread.join()
        self._runtime.registry.unregister(collector)


def build(runtime: Runtime) -> Service:
    """The factory behind the entry point `remote`."""
    return RemoteService(runtime)


def query_doors(runtime: Runtime) -> tuple[MetricStore, QueryEngine]:
    """What people's questions are put to: store and engine, with the back end behind them when there is one.

    Rules use the runtime's own, which never ask the back end.
    """
    store, queries, settings = runtime.store, runtime.queries, runtime.settings
    if not settings.remote_query_url or not isinstance(queries, PromqlEngine):
        return store, queries
    remote = RemoteQueries(access_of(settings, settings.remote_query_url, settings.remote_query_timeout))

    def held() -> Held:
        now = runtime.clock.now_ms()
        begun = store.held_from_ms() if isinstance(store, LocalStore) else 0
        return Held(now - settings.retention_days * _DAY_MS, min(begun, now))

    def behind_since() -> int:
        return load_cursor(forward_folder(settings)).failing_since_ms

    return (
        LongRangeStore(store, remote, held),
        LongRangeQueries(queries, remote, held, behind_since),
    )

"""The metrics service of the core: the Prometheus API, upkeep of the store and numbers about both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask import Blueprint
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.metrics.cardinality import Cardinality
from monitor.metrics.caretaker import Caretaker
from monitor.metrics.http import QueryGate, Server, prometheus_api, query_gate
from monitor.metrics.interface import Limits, MetricStore
from monitor.metrics.metadata import MetricMetadata
from monitor.metrics.remote.service import query_doors
from monitor.metrics.store import LocalStore
from monitor.metrics.targets import PolledTargets
from monitor.service import Runtime, Service

_UPKEEP_SECONDS = 60


class MetricsCollector(Collector):
    """The store's own numbers as `zhishou_metrics_*`, those of the running queries as `zhishou_queries_*`."""

    def __init__(self, store: MetricStore, gate: QueryGate) -> None:
        self._store = store
        self._gate = gate

    def collect(self) -> Iterator[Metric]:
        """One gauge for each number."""
        for prefix, title, numbers in (
            ("zhishou_metrics", "Metric store", self._store.stats()),
            ("zhishou_queries", "Queries", self._gate.stats()),
        ):
            for name, value in sorted(numbers.items()):
                gauge = GaugeMetricFamily(f"{prefix}_{name}", f"{title}: {name.replace('_', ' ')}.")
                gauge.add_metric([], value)
                yield gauge
        if isinstance(self._store, LocalStore):
            yield from _by_site(self._store.cardinality)


def _by_site(cardinality: Cardinality) -> Iterator[Metric]:
    held = GaugeMetricFamily("zhishou_metrics_series_of_site", "Series the store knows.", labels=["site"])
    refused = CounterMetricFamily(
        "zhishou_metrics_series_refused", "New series refused by the limits.", labels=["site"]
    )
    for family, counts in ((held, cardinality.series), (refused, cardinality.refused)):
        for site, count in sorted(counts.items()):
            family.add_metric([site], count)
        yield family


class MetricsService:
    """Implements monitor.service.Service."""

    name = "metrics"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._gate = query_gate(max(1, runtime.settings.query_concurrency))
        self._collector = MetricsCollector(runtime.store, self._gate)
        self._caretaker = Caretaker(runtime, self._gate)
        self._started = False

    def blueprints(self) -> Sequence[Blueprint]:
        """The Prometheus API, and how the store is."""
        runtime, settings = self._runtime, self._runtime.settings
        store, queries = query_doors(runtime)
        server = Server(runtime.clock.now_ms(), settings.retention_days, settings.evaluation_interval)
        return [
            prometheus_api(
                store,
                queries,
                runtime.clock,
                targets=PolledTargets(runtime.store, runtime.clock),
                sites=self.sites_of,
                metadata=MetricMetadata(),
                gate=self._gate,
                limits=Limits(samples=settings.query_max_samples, seconds=settings.query_timeout),
                server=server,
                refusals=self._caretaker.writing,
            ),
            self._caretaker.blueprint(),
        ]

    def sites_of(self, collectors: frozenset[str]) -> frozenset[str]:
        """The sites these collectors serve."""
        sites = self._runtime.directory.inventory().sites.values()
        return frozenset(str(site.id) for site in sites if site.collector in collectors)

    def start(self) -> None:
        """Show the store's numbers and look after it once a minute."""
        self._runtime.registry.register(self._collector)
        self._started = True
        self._caretaker.look()
        self._runtime.schedule.every("metrics.maintain", _UPKEEP_SECONDS, self.upkeep)

    def upkeep(self) -> None:
        """What is done every minute. Raises StorageError when the disk does not take what is sealed."""
        self._caretaker.maintain()

    def stop(self) -> None:
        """Put everything on disk."""
        if self._started:
            self._runtime.schedule.remove("metrics.maintain")
            self._runtime.registry.unregister(self._collector)
            self._started = False
        self._runtime.store.sync()


def build(runtime: Runtime) -> Service:
    """The factory behind the entry point `metrics`."""
    return MetricsService(runtime)

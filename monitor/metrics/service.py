"""The metrics service of the core: the Prometheus API, upkeep of the store and numbers about both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flask import Blueprint
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import MetricStore, Vector
from monitor.service import Runtime, Service

_UPKEEP_SECONDS = 60


class StoreCollector(Collector):
    """The store's own numbers as `zhishou_metrics_*`."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """One gauge for each number the store tells."""
        for name, value in sorted(self._store.stats().items()):
            gauge = GaugeMetricFamily(f"zhishou_metrics_{name}", f"Metric store: {name.replace('_', ' ')}.")
            gauge.add_metric([], value)
            yield gauge


class MetricsService:
    """Implements monitor.service.Service."""

    name = "metrics"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._collector = StoreCollector(runtime.store)
        self._started = False

    def blueprints(self) -> Sequence[Blueprint]:
        """The Prometheus API."""
        runtime = self._runtime
        return [
            prometheus_api(
                runtime.store, runtime.queries, runtime.clock, targets=self.targets, sites=self.sites_of
            )
        ]

    def sites_of(self, collectors: frozenset[str]) -> frozenset[str]:
        """The sites these collectors serve."""
        sites = self._runtime.directory.inventory().sites.values()
        return frozenset(str(site.id) for site in sites if site.collector in collectors)

    def start(self) -> None:
        """Show the store's numbers and look after it once a minute."""
        self._runtime.registry.register(self._collector)
        self._started = True
        maintain = getattr(self._runtime.store, "maintain", None)
        if maintain is not None:
            self._runtime.schedule.every("metrics.maintain", _UPKEEP_SECONDS, maintain)

    def stop(self) -> None:
        """Put everything on disk."""
        if self._started:
            self._runtime.schedule.remove("metrics.maintain")
            self._runtime.registry.unregister(self._collector)
            self._started = False
        self._runtime.store.sync()

    def targets(self) -> list[Mapping[str, object]]:
        """Every polled device module as a Prometheus target, from the `up` series."""
        result = self._runtime.queries.instant("up", self._runtime.clock.now_ms())
        if not isinstance(result, Vector):
            return []
        found: list[Mapping[str, object]] = []
        for labels, value in zip(result.labels, result.values.tolist(), strict=True):
            shown = {name: text for name, text in labels if name != "__name__"}
            found.append(
                {
                    "discoveredLabels": {},
                    "labels": shown,
                    "scrapePool": shown.get("job", ""),
                    "scrapeUrl": shown.get("instance", ""),
                    "globalUrl": shown.get("instance", ""),
                    "lastError": "" if value else "the device did not answer",
                    "health": "up" if value else "down",
                }
            )
        return found


def build(runtime: Runtime) -> Service:
    """The factory behind the entry point `metrics`."""
    return MetricsService(runtime)

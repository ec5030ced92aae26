"""What a collector says about itself, on its /metrics page and as series of job `collector`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collectors.enrich import Sample
from collectors.outbox import Lane, Outbox
from monitor.metrics.interface import make_labels

PREFIX = "collector_"


class CollectorMetrics:
    """The metrics of one collector process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.polls = Counter(
            "collector_polls_total",
            "Polls made, by module and outcome",
            ["module", "outcome"],
            registry=registry,
        )
        self.missed = Counter(
            "collector_polls_missed_total",
            "Polls left out: the one before still ran, or the spool was full",
            registry=registry,
        )
        self.late = Histogram(
            "collector_poll_lateness_seconds",
            "How late polls started",
            buckets=(0.1, 0.5, 1, 5, 15, 60),
            registry=registry,
        )
        self.dropped = Counter(
            "collector_spool_dropped_total",
            "Samples or events lost because the spool was full",
            ["lane"],
            registry=registry,
        )
        self.refused = Counter(
            "collector_refused_total",
            "Samples or events the core refused, kept in the dead-letter file",
            ["lane"],
            registry=registry,
        )
        self.snmp = Gauge(
            "collector_snmp",
            "The batched SNMP polls: devices, batched, polling, queued, flying, layouts; and since its process "
            "started: sent, retried, reshaped, odd, stray, foreign, malformed, refused",
            ["figure"],
            registry=registry,
        )
        self.devices = Gauge("collector_devices", "Devices of the assignment", registry=registry)

    def show_fleet(self, state: Mapping[str, float]) -> None:
        """Show what the SNMP fleet says of itself."""
        for figure, value in state.items():
            self.snmp.labels(figure).set(value)

    def watch(self, outbox: Outbox) -> None:
        """Show the state of both lanes."""
        entries = Gauge(
            "collector_spooled_entries",
            "Samples or events not yet taken by the core",
            ["lane"],
            registry=self.registry,
        )
        size = Gauge(
            "collector_spooled_bytes",
            "Bytes of the spool not yet taken by the core",
            ["lane"],
            registry=self.registry,
        )
        corrupt = Gauge(
            "collector_spool_corrupt_frames",
            "Damaged parts of the spool skipped since start",
            ["lane"],
            registry=self.registry,
        )
        for name, lane in (("metrics", outbox.metrics), ("events", outbox.events)):
            entries.labels(name).set_function(partial(_read, lane, "pending_entries"))
            size.labels(name).set_function(partial(_read, lane, "pending_bytes"))
            corrupt.labels(name).set_function(partial(_read, lane, "corrupt_frames"))

    def samples(self, collector: str, at_ms: int) -> list[Sample]:
        """Our own metrics as series of job `collector`."""
        identity = {"job": "collector", "instance": collector, "collector": collector}
        found: list[Sample] = [(make_labels(identity, "up"), at_ms, 1.0)]
        for family in self.registry.collect():
            found += [
                (make_labels({**sample.labels, **identity}, sample.name), at_ms, float(sample.value))
                for sample in family.samples
                if sample.name.startswith(PREFIX) and not sample.name.endswith("_created")
            ]
        return found


def _read(lane: Lane, number: str) -> float:
    return float(getattr(lane.state(), number))

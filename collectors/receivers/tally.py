"""What the receiver counts. Every datagram that was sent to us ends in exactly one place:

sent     = received + dropped{kernel}
received = malformed + refused + handshakes + accepted + dropped{queue, usm_queue, spool}   (once the queues are empty)
accepted = told as an event of its own + counted in a repeat event
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from monitor.metrics.interface import Labels, make_labels

HELP: Final = {
    "zhishou_traps_received": ("Datagrams read from a trap port", ("listener",)),
    "zhishou_traps_dropped": ("Datagrams or events lost: kernel, queue, usm_queue, spool", ("reason",)),
    "zhishou_traps_malformed": ("Datagrams that are no well-formed SNMP notification", ()),
    "zhishou_traps_refused": ("Notifications refused, by reason", ("reason",)),
    "zhishou_traps_handshakes": ("SNMPv3 messages of engine discovery and time keeping", ()),
    "zhishou_traps_accepted": ("Notifications taken, by version", ("version",)),
    "zhishou_traps_repeated": ("Notifications counted in the event of an earlier one", ()),
    "zhishou_trap_informs_answered": ("Informs acknowledged", ()),
    "zhishou_trap_events": ("Events spooled about traps", ()),
}
GAUGES: Final = {
    "zhishou_trap_listener_up": "Whether the receiver listens there",
    "zhishou_trap_buffer_bytes": "Receive buffer the kernel gave",
}


class Tally:
    """Counters, safe from several threads. `add` names the metric without its `_total`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._gauges: dict[tuple[str, str], float] = {}

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name, label] += count

    def gauge(self, name: str, label: str, value: float) -> None:
        """Set a number about one listener."""
        with self._lock:
            self._gauges[name, label] = value

    def count(self, name: str, label: str | None = None) -> int:
        """One counter, or the sum over its labels."""
        with self._lock:
            return sum(n for (key, own), n in self._counts.items() if key == name and label in {None, own})

    def register(self, registry: CollectorRegistry) -> None:
        """Show all of it on the process's /metrics page."""
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        with self._lock:
            counts, gauges = dict(self._counts), dict(self._gauges)
        for name, (text, labels) in HELP.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for (key, label), number in sorted(counts.items()):
                if key == name:
                    family.add_metric([label] if labels else [], number)
            if not labels and (name, "") not in counts:
                family.add_metric([], 0)
            yield family
        for name, text in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=("listener",))
            for (key, label), value in sorted(gauges.items()):
                if key == name:
                    gauge.add_metric([label], value)
            yield gauge

    def samples(self, collector: str, at_ms: int) -> list[tuple[Labels, int, float]]:
        """The same numbers as series of job `collector`."""
        identity = {"job": "collector", "instance": collector, "collector": collector}
        return [
            (make_labels({**sample.labels, **identity}, sample.name), at_ms, float(sample.value))
            for family in self.collect()
            for sample in family.samples
        ]

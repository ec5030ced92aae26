"""What senders say about metrics: type, help text and unit by metric name, as Prometheus's `/metadata` answers it.

Kept in memory only: senders repeat it (Prometheus once a minute, remote write 2.0 with every series).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol


class MetricType(StrEnum):
    """The types of OpenMetrics, in the words of Prometheus's HTTP API."""

    UNKNOWN = "unknown"
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    GAUGE_HISTOGRAM = "gaugehistogram"
    SUMMARY = "summary"
    INFO = "info"
    STATE_SET = "stateset"


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What is known of one metric family; unknown texts are empty."""

    type: MetricType = MetricType.UNKNOWN
    help: str = ""
    unit: str = ""


Note = tuple[str, MetricInfo]


class Metadata(Protocol):
    """A place for metadata. Safe to use from several threads."""

    def note(self, notes: Iterable[Note]) -> None:
        """Take in (metric name, info) pairs; the newest word on a metric counts."""
        ...

    def about(self, metric: str) -> MetricInfo | None:
        """What is known of one metric."""
        ...

    def all(self) -> Mapping[str, MetricInfo]:
        """A snapshot by metric name."""
        ...


class MetricMetadata:
    """`Metadata` in memory, of at most `max_metrics` metrics with texts of at most `max_text` characters.

    Further metrics are not taken in, so that a flood of names does not push out the known ones.
    """

    __slots__ = ("_infos", "_lock", "_max_metrics", "_max_text")

    def __init__(self, *, max_metrics: int = 20_000, max_text: int = 512) -> None:
        self._max_metrics = max_metrics
        self._max_text = max_text
        self._lock = threading.Lock()
        self._infos: dict[str, MetricInfo] = {}

    def note(self, notes: Iterable[Note]) -> None:
        """See Metadata."""
        infos, most = self._infos, self._max_text
        with self._lock:
            for metric, info in notes:
                known = infos.get(metric)
                if known == info or not 0 < len(metric) <= most:
                    continue
                if known is None and len(infos) >= self._max_metrics:
                    continue
                infos[metric] = MetricInfo(info.type, info.help[:most], info.unit[:most])

    def about(self, metric: str) -> MetricInfo | None:
        """See Metadata."""
        return self._infos.get(metric)

    def all(self) -> Mapping[str, MetricInfo]:
        """See Metadata."""
        with self._lock:
            return MappingProxyType(dict(self._infos))

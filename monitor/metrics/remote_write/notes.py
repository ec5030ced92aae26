"""Metric metadata in remote write messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.metrics.metadata import MetricInfo, MetricType, Note
from monitor.metrics.protocol import remote_write_pb2 as v1

# By the number that both protocols give them.
_TYPES = (
    MetricType.UNKNOWN,
    MetricType.COUNTER,
    MetricType.GAUGE,
    MetricType.HISTOGRAM,
    MetricType.GAUGE_HISTOGRAM,
    MetricType.SUMMARY,
    MetricType.INFO,
    MetricType.STATE_SET,
)


def info(number: int, about: str, unit: str) -> MetricInfo:
    """Metadata from a type number and two texts; unknown numbers are the unknown type."""
    kind = _TYPES[number] if 0 <= number < len(_TYPES) else MetricType.UNKNOWN
    return MetricInfo(kind, about, unit)


def notes_of(raws: Iterable[bytes]) -> Iterator[Note]:
    """The notes in serialised `MetricMetadata` of 1.0. Raises protobuf's DecodeError."""
    for raw in raws:
        said = v1.MetricMetadata.FromString(raw)
        yield said.metric_family_name, info(said.type, said.help, said.unit)

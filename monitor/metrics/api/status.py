"""`status/*`: which Prometheus this is like, how it is set, and what it holds."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass

from flask import Response

from monitor.clock import to_datetime
from monitor.metrics.api.answers import success
from monitor.metrics.api.arguments import read_arguments
from monitor.metrics.api.parts import Parts
from monitor.metrics.interface import Labels, QueryControl

API_LEVEL = "3.0.0"  # The Prometheus whose API and PromQL this is; clients choose their requests by it.
_HEAD_MS = 7_200_000
_ROWS = 10


@dataclass(frozen=True, slots=True)
class StatusViews:
    """The views; each reads the current request."""

    parts: Parts

    def buildinfo(self) -> Response:
        """Which Prometheus this is like."""
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return success({"version": API_LEVEL, **empty, "application": "zhishou"})

    def runtimeinfo(self) -> Response:
        """How the process is doing; what only a Go program has is empty."""
        server, now = self.parts.server, self.parts.clock.now_ms()
        return success(
            {
                "startTime": _moment(server.started_ms),
                "serverTime": _moment(now),
                "CWD": "",
                "reloadConfigSuccess": True,
                "lastConfigTime": _moment(server.started_ms),
                "corruptionCount": int(self.parts.store.stats().get("quarantined", 0)),
                "goroutineCount": threading.active_count(),
                "GOMAXPROCS": os.cpu_count() or 1,
                "GOMEMLIMIT": 0,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": f"{server.retention_days}d",
            }
        )

    def flags(self) -> Response:
        """The settings that Prometheus has as flags too."""
        limits = self.parts.limits
        return success(
            {
                "query.lookback-delta": f"{QueryControl().lookback_ms // 60_000}m",
                "query.max-concurrency": f"{self.parts.gate.places}",
                "query.max-samples": f"{limits.samples}",
                "query.timeout": f"{limits.seconds:g}s",
                "storage.tsdb.retention.time": f"{self.parts.server.retention_days}d",
                "web.enable-admin-api": "false",
                "web.enable-lifecycle": "false",
                "web.enable-remote-write-receiver": "true",
            }
        )

    def config(self) -> Response:
        """The part of the configuration that has a meaning in Prometheus's file."""
        return success(
            {"yaml": f"global:\n  evaluation_interval: {self.parts.server.evaluation_seconds:g}s\n"}
        )

    def tsdb(self) -> Response:
        """How many series there are, and of which names and labels; over the last two hours."""
        rows = read_arguments().limit() or _ROWS
        now = self.parts.clock.now_ms()
        with self.parts.place():
            series = self.parts.store.series([], now - _HEAD_MS, now)
            return success({"headStats": _head(series, now), **_cardinality(series, rows)})


def _head(series: list[Labels], now_ms: int) -> dict[str, int]:
    return {
        "numSeries": len(series),
        "numLabelPairs": len({pair for labels in series for pair in labels}),
        "chunkCount": 0,
        "minTime": now_ms - _HEAD_MS,
        "maxTime": now_ms,
    }


def _cardinality(series: list[Labels], rows: int) -> dict[str, list[dict[str, object]]]:
    pairs = Counter(pair for labels in series for pair in labels)
    names = Counter({value: count for (name, value), count in pairs.items() if name == "__name__"})
    values = Counter(name for name, _ in pairs)
    sizes: Counter[str] = Counter()
    for name, value in pairs:
        sizes[name] += len(value.encode())
    shown = Counter({f"{name}={value}": count for (name, value), count in pairs.items()})
    tables = {
        "seriesCountByMetricName": names,
        "labelValueCountByLabelName": values,
        "memoryInBytesByLabelName": sizes,
        "seriesCountByLabelValuePair": shown,
    }
    return {
        title: [{"name": name, "value": count} for name, count in counts.most_common(rows)]
        for title, counts in tables.items()
    }


def _moment(ms: int) -> str:
    return to_datetime(ms).isoformat().replace("+00:00", "Z")

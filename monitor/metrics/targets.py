"""Everything that is polled as Prometheus targets, told from the `up` series themselves."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.clock import Clock, to_datetime
from monitor.metrics.interface import Labels, Matcher, MatchOp, MetricStore
from monitor.metrics.latest import Newest, newest

_LOOKBACK_MS = 300_000
_DURATION = "device_poll_duration_seconds"
_NEVER = "0001-01-01T00:00:00Z"


class PolledTargets:
    """Every series of `up` that is alive is a target.

    Last poll and health are those of its newest sample; the time it took is its poll-duration series. Intervals
    and what was discovered are the collectors' own affair and are not told.
    """

    def __init__(self, store: MetricStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __call__(self) -> list[Mapping[str, object]]:
        """One object a target, as in `activeTargets`."""
        up = self._newest("up")
        spent = self._newest(_DURATION)
        durations = {
            _identity(labels): value
            for labels, value in zip(spent.labels, spent.values.tolist(), strict=True)
        }
        return [
            _target(labels, at, value, durations)
            for labels, at, value in zip(up.labels, up.times.tolist(), up.values.tolist(), strict=True)
        ]

    def _newest(self, name: str) -> Newest:
        now = self._clock.now_ms()
        matchers = [Matcher("__name__", MatchOp.EQ, name)]
        return newest(self._store.window(matchers, now - _LOOKBACK_MS, now))


def _identity(labels: Labels) -> Labels:
    return tuple(item for item in labels if item[0] not in ("__name__", "module"))


def _target(
    labels: Labels, at_ms: int, value: float, durations: Mapping[Labels, float]
) -> Mapping[str, object]:
    shown = {name: text for name, text in labels if name != "__name__"}
    address = shown.get("instance", "")
    return {
        "discoveredLabels": {},
        "labels": shown,
        "scrapePool": shown.get("job", ""),
        "scrapeUrl": address,
        "globalUrl": address,
        "lastError": "" if value else "the device did not answer",
        "lastScrape": to_datetime(at_ms).isoformat().replace("+00:00", "Z") if at_ms > 0 else _NEVER,
        "lastScrapeDuration": durations.get(_identity(labels), 0.0),
        "health": "up" if value else "down",
    }

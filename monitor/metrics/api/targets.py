"""`targets`, `scrape_pools`, `targets/metadata` and `metadata`: what is polled, and what is known about metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import re2
from flask import Response

from monitor.metrics.api.answers import success
from monitor.metrics.api.arguments import read_arguments
from monitor.metrics.api.parts import Parts
from monitor.metrics.interface import Matcher, MatchOp
from monitor.metrics.metadata import MetricInfo

_RECENT_MS = 300_000


@dataclass(frozen=True, slots=True)
class TargetViews:
    """The views; each reads the current request."""

    parts: Parts

    def targets(self) -> Response:
        """What is polled, and whether it answered."""
        arguments = read_arguments()
        state, pool = arguments.text("state").lower(), arguments.text("scrapePool")
        active = [
            target
            for target in (self.parts.targets() if state in ("", "any", "active") else ())
            if not pool or target["scrapePool"] == pool
        ]
        return success({"activeTargets": active, "droppedTargets": [], "droppedTargetCounts": {}})

    def scrape_pools(self) -> Response:
        """The names of the groups of targets."""
        return success(
            {"scrapePools": sorted({str(target["scrapePool"]) for target in self.parts.targets()})}
        )

    def metadata(self) -> Response:
        """Type, help and unit of metrics, as their senders told them; none are guessed."""
        arguments = read_arguments()
        metric, most = arguments.text("metric"), arguments.limit()
        arguments.limit("limit_per_metric")  # There is one entry a metric at most.
        known = self.parts.metadata.all()
        names = [metric] if metric else sorted(known)
        return success({name: [_shown(known[name])] for name in names[: most or None] if name in known})

    def target_metadata(self) -> Response:
        """What is known about the metrics of the targets that match `match_target`."""
        arguments = read_arguments()
        metric, most = arguments.text("metric"), arguments.limit()
        matchers = [item for matchers in arguments.selections("match_target")[:1] for item in matchers]
        known = self.parts.metadata.all()
        found = []
        with self.parts.place():
            for target, names in self._metrics_of_targets(matchers, metric):
                families = {family for name in names for family in _families(name)}
                found += [
                    {"target": target, **({} if metric else {"metric": name}), **_shown(known[name])}
                    for name in sorted(families & known.keys())
                ]
                if 0 < most <= len(found):
                    break
        return success(found[: most or None])

    def _metrics_of_targets(
        self, matchers: Sequence[Matcher], metric: str
    ) -> list[tuple[Mapping[str, str], set[str]]]:
        """Job and instance of the matching targets, each with the names of its metrics."""
        now = self.parts.clock.now_ms()
        wanted = self.parts.store.series(
            [Matcher("__name__", MatchOp.EQ, "up"), *matchers], now - _RECENT_MS, now
        )
        targets: dict[tuple[str, str], set[str]] = {_key(dict(labels)): set() for labels in wanted}
        pattern = f"{re2.escape(metric)}(?:_bucket|_count|_sum|_total)?"
        named = [Matcher("__name__", MatchOp.RE, pattern)] if metric else []
        for labels in self.parts.store.series(named, now - _RECENT_MS, now) if targets else ():
            shown = dict(labels)
            if (names := targets.get(_key(shown))) is not None:
                names.add(shown.get("__name__", ""))
        return [
            ({"instance": instance, "job": job}, names) for (job, instance), names in sorted(targets.items())
        ]


def _key(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("job", ""), labels.get("instance", "")


def _families(name: str) -> Sequence[str]:
    """The metric a series' name may belong to: histograms, summaries and counters are told by their stem."""
    stem, _, suffix = name.rpartition("_")
    return (name, stem) if suffix in ("bucket", "count", "sum", "total") else (name,)


def _shown(info: MetricInfo) -> Mapping[str, str]:
    return {"type": info.type.value, "help": info.help, "unit": info.unit}

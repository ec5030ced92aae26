"""One exposition out of several processes' metrics: no family twice, no series twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

ROLE = "role"
_OURS = "zhishou_"


class Merged(Collector):
    """The families of several processes, each given with its role.

    What every process has (`process_*`, `python_info`) carries the label `role`, whoever else is there: a series must
    not get another name because a process is down. Our own families have names of their own; one that two processes
    have in spite of that is told apart in the same way. By one name the first type counts.
    """

    def __init__(self, *processes: tuple[str, Iterable[Metric]]) -> None:
        self._found: dict[str, list[tuple[str, Metric]]] = {}
        for role, families in processes:
            for family in families:
                known = self._found.setdefault(family.name, [])
                if not known or known[0][1].type == family.type:
                    known.append((role, family))

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        for name, parts in self._found.items():
            first = parts[0][1]
            if len(parts) == 1 and name.startswith(_OURS):
                yield first
                continue
            merged = Metric(name, first.documentation, first.type)
            merged.samples = [
                sample._replace(labels={ROLE: role, **sample.labels})
                for role, family in parts
                for sample in family.samples
            ]
            yield merged

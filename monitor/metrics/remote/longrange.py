"""Questions about times we no longer hold go to the back end; everything else is answered here.

A range is cut where our own samples begin: the steps that look only at what we hold are evaluated here, so that the
newest points are there however far forwarding lags, the older ones by the back end. The functions of VictoriaMetrics
are not quite Prometheus's (rate does not extrapolate), so that a line may have a small step at the cut. An expression
that reaches back behind the cut at every step is the back end's alone. Rules never come here: they are evaluated on
our own head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from monitor.metrics.interface import (
    AppendResult,
    Labels,
    Limits,
    Matcher,
    Matrix,
    MetricStore,
    Plan,
    QueryControl,
    Result,
    SampleBlock,
    Selection,
    Window,
)
from monitor.metrics.promql.compile import CompiledPlan
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.interface import Remote
from monitor.metrics.remote.queries import RemoteError
from monitor.metrics.remote.reach import Reach, reach
from monitor.metrics.series import Dictionary

Found = TypeVar("Found", Labels, str)


@dataclass(frozen=True, slots=True)
class Held:
    """What is held here: every sample since `kept_ms` (the retention), but none from before `begun_ms`, when this
    store began (it may be the successor of a lost one).
    """

    kept_ms: int
    begun_ms: int

    @property
    def since_ms(self) -> int:
        """Since when everything is held."""
        return max(self.kept_ms, self.begun_ms)


class LongRangeQueries:
    """Implements monitor.metrics.interface.QueryEngine over our own engine and a back end.

    `behind_since` is when the back end was last known to have everything, in ms, or 0 while it keeps up. A note in
    the report says who answered. A back end that does not answer is an error, unless one asked only for times within
    the retention in which our store had not begun: then what there is here is the answer, with a warning.
    """

    def __init__(
        self, local: PromqlEngine, remote: Remote, held: Callable[[], Held], behind_since: Callable[[], int]
    ) -> None:
        self._local = local
        self._remote = remote
        self._held = held
        self._behind_since = behind_since

    def compile(self, expression: str) -> CompiledPlan:
        """See QueryEngine."""
        return self._local.compile(expression)

    def instant(
        self,
        query: str | Plan,
        at_ms: int,
        limits: Limits | None = None,
        control: QueryControl | None = None,
    ) -> Result:
        """See QueryEngine. Raises RemoteError when the back end does not answer."""
        control = control or QueryControl()
        plan = self._plan(query)
        oldest = reach(plan.root, at_ms, at_ms, control.lookback_ms).oldest_ms(at_ms)
        held = self._held()
        if oldest is None or oldest >= held.since_ms:
            return self._local.instant(query, at_ms, limits, control)
        try:
            result = self._remote.instant(plan.expression, at_ms, limits or Limits(), control.lookback_ms)
        except RemoteError as error:
            _may_do_without(error, oldest, held, control)
            return self._local.instant(query, at_ms, limits, control)
        self._note(
            control, f"answered by {self._remote.name}, as it looks behind {_time(held.since_ms)}", at_ms
        )
        return result

    def range(
        self,
        query: str | Plan,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        limits: Limits | None = None,
        control: QueryControl | None = None,
    ) -> Matrix:
        """See QueryEngine. Raises RemoteError when the back end does not answer."""
        control = control or QueryControl()
        limits = limits or Limits()
        plan = self._plan(query)
        held = self._held()
        found = reach(plan.root, start_ms, end_ms, control.lookback_ms)
        steps = _steps(start_ms, end_ms, step_ms, limits)
        behind = _behind(found, held.since_ms, start_ms, step_ms, steps)
        if not behind or plan.kind not in ("vector", "scalar"):
            # A range that is no range, or too long, is refused there too.
            return self._local.range(query, start_ms, end_ms, step_ms, limits, control)
        last = end_ms if behind == steps else start_ms + (behind - 1) * step_ms
        try:
            far = self._remote.range(plan.expression, (start_ms, last, step_ms), limits, control.lookback_ms)
        except RemoteError as error:
            _may_do_without(error, found.oldest_ms(start_ms), held, control)
            return self._local.range(query, start_ms, end_ms, step_ms, limits, control)
        if behind == steps:
            self._note(
                control, f"answered by {self._remote.name}, as it looks behind {_time(held.since_ms)}", last
            )
            return far
        near = self._local.range(query, last + step_ms, end_ms, step_ms, limits, control)
        self._note(control, f"up to {_time(last)} answered by {self._remote.name}, from there on here", last)
        return stitch(far, near)

    def _plan(self, query: str | Plan) -> CompiledPlan:
        if isinstance(query, CompiledPlan):
            return query
        return self._local.compile(query if isinstance(query, str) else query.expression)

    def _note(self, control: QueryControl, text: str, until_ms: int) -> None:
        control.report.inform(text)
        since = self._behind_since()
        if since and until_ms > since:
            control.report.warn(
                f"{self._remote.name} has not been taking samples since {_time(since)}; newer ones are missing"
            )


class LongRangeStore:
    """A MetricStore whose series and labels of times we do not hold come from the back end as well.

    As LongRangeQueries, it raises RemoteError unless one can do without the back end.
    """

    def __init__(self, local: MetricStore, remote: Remote, held: Callable[[], Held]) -> None:
        self._local = local
        self._remote = remote
        self._held = held

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """See MetricStore."""
        found = self._local.series(matchers, start_ms, end_ms)
        far = self._far(start_ms, lambda: self._remote.series(matchers, start_ms, end_ms))
        return list(dict.fromkeys([*found, *far])) if far else found

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See MetricStore."""
        found = self._local.label_names(matchers, start_ms, end_ms)
        return sorted(
            {*found, *self._far(start_ms, lambda: self._remote.label_names(matchers, start_ms, end_ms))}
        )

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See MetricStore."""
        found = self._local.label_values(name, matchers, start_ms, end_ms)
        return sorted(
            {
                *found,
                *self._far(start_ms, lambda: self._remote.label_values(name, matchers, start_ms, end_ms)),
            }
        )

    def _far(self, start_ms: int, ask: Callable[[], list[Found]]) -> list[Found]:
        """What the back end knows, if one asks for times that are not held here."""
        held = self._held()
        # Without a start one asks what there is, not what there ever was.
        if not 0 < start_ms < held.since_ms:
            return []
        try:
            return ask()
        except RemoteError as error:
            _may_do_without(error, start_ms, held, QueryControl())
            return []

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        """See MetricStore."""
        return self._local.append(block, durable=durable)

    def sync(self) -> None:
        """See MetricStore."""
        self._local.sync()

    def window(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Window:
        """See MetricStore; what we hold ourselves."""
        return self._local.window(matchers, start_ms, end_ms)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See MetricStore; what we hold ourselves."""
        return self._local.select(matchers, start_ms, end_ms)

    @property
    def dictionary(self) -> Dictionary:
        """See MetricStore."""
        return self._local.dictionary

    def stats(self) -> Mapping[str, float]:
        """See MetricStore."""
        return self._local.stats()

    def close(self) -> None:
        """See MetricStore."""
        self._local.close()


def _may_do_without(error: RemoteError, oldest_ms: int | None, held: Held, control: QueryControl) -> None:
    """Warn when the answer from here will do, else raise the error again."""
    if error.kind != "unavailable" or oldest_ms is None or oldest_ms < held.kept_ms:
        raise error
    control.report.warn(f"{error.message}; there are only samples from here, since {_time(held.begun_ms)}")


def _steps(start_ms: int, end_ms: int, step_ms: int, limits: Limits) -> int:
    """The points of a grid, 0 for one that will be refused."""
    if step_ms <= 0 or end_ms < start_ms:
        return 0
    steps = (end_ms - start_ms) // step_ms + 1
    return steps if steps <= limits.points else 0


def _behind(found: Reach, held_ms: int, start_ms: int, step_ms: int, steps: int) -> int:
    """How many steps, from the first on, look at times before `held_ms`."""
    if found.since_ms is not None and found.since_ms < held_ms:
        return steps
    if found.back_ms is None or not steps:
        return 0
    behind = min(steps, max(0, -((start_ms - found.back_ms - held_ms) // step_ms)))
    return steps if behind and found.whole else behind


def stitch(far: Matrix, near: Matrix) -> Matrix:
    """Two matrices, one after the other, as one."""
    far = _named_alike(far, near)
    labels = sorted({*far.labels, *near.labels})
    column = {label_set: at for at, label_set in enumerate(labels)}
    rows = len(far.timestamps)
    shape = rows + len(near.timestamps), len(labels)
    values, present = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    for part, place in ((far, np.s_[:rows]), (near, np.s_[rows:])):
        columns = [column[label_set] for label_set in part.labels]
        values[place, columns] = part.values
        present[place, columns] = part.present
    return Matrix(labels, np.concatenate([far.timestamps, near.timestamps]), values, present)


def _named_alike(far: Matrix, near: Matrix) -> Matrix:
    """Without metric names when ours has none: VictoriaMetrics keeps them where Prometheus drops them."""
    if not near.labels or any(name == "__name__" for labels in near.labels for name, _ in labels):
        return far
    bare = [tuple(pair for pair in labels if pair[0] != "__name__") for labels in far.labels]
    return replace(far, labels=bare) if len(set(bare)) == len(bare) else far


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"

"""Range functions that are worked out on columns, and running one over all steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from monitor.metrics.interface import Bools, Floats, Ints, Selection
from monitor.metrics.promql.columns import over_time, rates
from monitor.metrics.promql.columns.frame import Frame, Rows
from monitor.metrics.promql.values import Budget, Table

Work = Callable[[Frame, int, float], tuple[Floats, Bools]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """`work` gets a frame, the evaluation time in ms and the second argument of the function, 0 without one."""

    work: Work
    keeps_name: bool = False


def _plain(kernel: Callable[[Frame, int], tuple[Floats, Bools]], *, keeps_name: bool = False) -> Kernel:
    return Kernel(lambda frame, step, _argument: kernel(frame, step), keeps_name)


def _deriv(frame: Frame, _step: int, _argument: float) -> tuple[Floats, Bools]:
    return over_time.regression(predict=False)(frame, frame.start_ms, 0.0)


KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "rate": _plain(rates.extrapolated(counter=True, per_second=True)),
        "increase": _plain(rates.extrapolated(counter=True, per_second=False)),
        "delta": _plain(rates.extrapolated(counter=False, per_second=False)),
        "irate": _plain(rates.instantaneous(rate=True)),
        "idelta": _plain(rates.instantaneous(rate=False)),
        "count_over_time": _plain(over_time.count),
        "present_over_time": _plain(over_time.present),
        "last_over_time": _plain(over_time.edge(newest=True), keeps_name=True),
        "first_over_time": _plain(over_time.edge(newest=False), keeps_name=True),
        "sum_over_time": _plain(over_time.total),
        "avg_over_time": _plain(over_time.mean),
        "min_over_time": _plain(over_time.extreme(np.fmin)),
        "max_over_time": _plain(over_time.extreme(np.fmax)),
        "changes": _plain(over_time.transitions(resets=False)),
        "resets": _plain(over_time.transitions(resets=True)),
        "deriv": Kernel(_deriv),
        "predict_linear": Kernel(over_time.regression(predict=True)),
    }
)


def sweep(
    kernel: Kernel,
    selection: Selection,
    range_ms: int,
    ends: Ints,
    steps: Ints,
    argument: Floats | None,
    budget: Budget,
) -> Table:
    """A range function at every step; window k is (ends[k] - range, ends[k]], argument [s]."""
    rows = [Rows(part) for part in selection.parts]
    values = np.empty((len(ends), len(selection.labels)))
    present = np.empty(values.shape, np.bool_)
    for number, (moment, step) in enumerate(zip(ends.tolist(), steps.tolist(), strict=True)):
        extra = 0.0 if argument is None else float(argument[number])
        stop = 0
        for one in rows:
            frame = one.frame(moment - range_ms, moment)
            budget.charge(frame.size)
            start, stop = stop, stop + len(frame.group)
            values[number, start:stop], present[number, start:stop] = kernel.work(frame, step, extra)
    dropped = np.full(len(selection.labels), not kernel.keeps_name)
    return Table(selection.labels, values, present, dropped)

"""Walking all windows at once: position by position, each an array of steps x series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import Bools, Floats, Ints
from monitor.metrics.promql.functions.signature import Apply
from monitor.metrics.promql.nodes import Call
from monitor.metrics.promql.values import Budget, Context, Table, Value, Windows, windows_of

Extended = npt.NDArray[np.longdouble]
Real = TypeVar("Real", Floats, Extended)
Reduce = Callable[[Windows, Budget], tuple[Floats, Bools]]


def lengths(windows: Windows) -> Ints:
    """Samples in each window [s, n]."""
    return np.asarray(windows.stop - windows.first)


def positions(windows: Windows, budget: Budget, start: int = 0) -> Iterator[tuple[Bools, Ints]]:
    """For position j in every window: which windows reach that far, and the flat sample index (safe to use)."""
    size = lengths(windows)
    last = max(len(windows.samples.times) - 1, 0)
    for position in range(start, int(size.max(initial=0))):
        budget.charge(0)
        index = windows.first + position
        yield index < windows.stop, np.minimum(index, last)


def first_index(windows: Windows) -> Ints:
    """The flat index of each window's oldest sample; meaningless (but safe) where the window is empty."""
    return np.minimum(windows.first, max(len(windows.samples.times) - 1, 0))


def last_index(windows: Windows) -> Ints:
    """The flat index of each window's newest sample; meaningless (but safe) where the window is empty."""
    return np.maximum(windows.stop - 1, 0)


def compensated(total: Real, lost: Real, term: Real, where: Bools) -> tuple[Real, Real]:
    """One step of Neumaier's compensated sum, only where asked. The sum is total + lost."""
    moved = total + term
    slip = np.where(np.abs(total) >= np.abs(term), (total - moved) + term, (term - moved) + total)
    lost = np.where(where, np.where(np.isinf(moved), 0, lost + slip), lost)
    return np.where(where, moved, total), lost


def zeros(windows: Windows) -> Extended:
    """An extended-precision accumulator [s, n]."""
    return np.zeros(windows.first.shape, np.longdouble)


def over_windows(reduce: Reduce, *, keep_name: bool = False, argument: int = 0) -> Apply:
    """A function of one range vector from a reduction of its windows."""

    def apply(context: Context, call: Call, args: Sequence[Value]) -> Table:
        windows = windows_of(args[argument])
        return as_table(windows, *reduce(windows, context.budget), keep_name=keep_name)

    return apply


def as_table(windows: Windows, values: Floats, present: Bools, *, keep_name: bool = False) -> Table:
    """The result of a range function as an instant vector per step."""
    samples = windows.samples
    dropped = samples.dropped if keep_name else np.ones(len(samples.labels), np.bool_)
    return Table(samples.labels, values, present, dropped)

"""Telling series apart by some of their labels: by whole columns of numbers where there are, else one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.interface import Ints, Labels
from monitor.metrics.promql.values import NAME, distinct
from monitor.metrics.series import Dictionary, SeriesSet

_FEW = 64
_MOST_CODES = 1 << 62


def key(labels: Labels, names: frozenset[str], *, keep: bool) -> Labels:
    """The labels that count: those named, or all but those and the metric name."""
    if keep:
        return tuple(item for item in labels if item[0] in names)
    return tuple(item for item in labels if item[0] not in names and item[0] != NAME)


def partition(
    sets: Sequence[SeriesSet], names: frozenset[str], dictionary: Dictionary, *, keep: bool
) -> tuple[list[Labels], Ints]:
    """The different keys of all series of the sets in the order they come, and for each series the place of its key."""
    if sum(map(len, sets)) < _FEW or not all(one.coded for one in sets):
        return distinct(key(labels, names, keep=keep) for one in sets for labels in one)
    present = frozenset().union(*(one.names() for one in sets))
    counted = sorted(names & present) if keep else sorted(present - names - {NAME})
    codes = np.zeros(sum(map(len, sets)), np.int64)
    size = 1
    for name in counted:
        column = np.concatenate([one.codes(name, dictionary) for one in sets])
        top = int(column.max(initial=0)) + 1
        if size * top >= _MOST_CODES:
            different, codes = np.unique(codes, return_inverse=True)
            size = len(different)
        codes = codes * top + column
        size *= top
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    ends = np.cumsum([len(one) for one in sets])
    keys = []
    for at in first[order].tolist():
        which = int(np.searchsorted(ends, at, "right"))
        labels = sets[which].at(at - (int(ends[which - 1]) if which else 0))
        keys.append(key(labels, names, keep=keep))
    return keys, number[place]

"""A store as a dictionary: what the real one is compared with, sample by sample and bit by bit."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from monitor.metrics.interface import Labels, Matcher, MatchOp, Selection, Window
from monitor.metrics.piece import HOLE_BITS, NEVER

CANONICAL_NAN = 0x7FF8000000000001
STALE = 0x7FF0000000000002
Samples = dict[Labels, list[tuple[int, int]]]


def bits_of(value: float) -> int:
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return CANONICAL_NAN if value != value and bits != STALE else bits


def contents(window: Window) -> Samples:
    """Every sample of a window: labels -> [(ms, bits of the value)]. Checks the promises of the seam on the way."""
    n = len(window.labels)
    assert window.values.shape == window.present.shape == (len(window.timestamps), n)
    assert window.group.shape == (n,)
    assert len(set(window.labels)) == n
    found: Samples = {}
    raw = window.values.view(np.uint64)
    for column, labels in enumerate(window.labels):
        rows = np.flatnonzero(window.present[:, column])
        times = window.timestamps[rows, window.group[column]].tolist()
        assert times, f"{labels} has no sample and should not be here"
        assert all(a < b for a, b in itertools.pairwise(times)), times
        found[labels] = list(zip(times, raw[rows, column].tolist(), strict=True))
    return found


def selected(selection: Selection, after: int, until: int) -> Samples:
    """Every sample of a selection in (after, until], as `contents`."""
    found: Samples = {}
    names: list[Labels] = []
    for part in selection.parts:
        names.extend(part.labels)
        assert (
            part.values.shape == (len(part.timestamps), len(part.labels)) == (len(part.odd), len(part.group))
        )
        raw = np.ascontiguousarray(part.values).view(np.uint64)
        for row, odd in zip(part.values, part.odd, strict=True):
            assert odd.tolist() == np.flatnonzero(np.isnan(row)).tolist()
        lower = part.values[1:] < part.values[:-1]
        assert part.falling[1:][lower.any(1)].all()
        for column, labels in enumerate(part.labels):
            times = part.timestamps[:, part.group[column]]
            there = np.flatnonzero((raw[:, column] != HOLE_BITS) & (times != NEVER))
            assert (np.diff(times[there]) > 0).all()
            inside = there[(times[there] > after) & (times[there] <= until)]
            if len(inside):
                assert labels not in found
                found[labels] = list(zip(times[inside].tolist(), raw[inside, column].tolist(), strict=True))
    assert names == list(selection.labels)
    return found


class Oracle:
    """Accepts what the store should accept."""

    def __init__(self) -> None:
        self.samples: Samples = {}

    def append(self, samples: Iterable[tuple[Labels, int, float]]) -> tuple[int, int, int]:
        """Accepted, duplicate and rejected; the samples of one block, in any order within the block."""
        accepted = duplicate = rejected = 0
        for labels, at, value in sorted(samples, key=lambda sample: sample[1]):
            stored = self.samples.setdefault(labels, [])
            known = dict(stored)
            if not stored or at > stored[-1][0]:
                stored.append((at, bits_of(value)))
                accepted += 1
            elif known.get(at) == bits_of(value):
                duplicate += 1
            else:
                rejected += 1
        return accepted, duplicate, rejected

    def window(self, matchers: Sequence[Matcher], after: int, until: int) -> Samples:
        found = {}
        for labels, stored in self.samples.items():
            inside = [sample for sample in stored if after < sample[0] <= until]
            if inside and all(satisfies(labels, matcher) for matcher in matchers):
                found[labels] = inside
        return found


def satisfies(labels: Labels, matcher: Matcher) -> bool:
    value = dict(labels).get(matcher.name, "")
    if matcher.op is MatchOp.EQ:
        return value == matcher.value
    if matcher.op is MatchOp.NE:
        return value != matcher.value
    matched = re.fullmatch(matcher.value, value, re.DOTALL) is not None
    return matched if matcher.op is MatchOp.RE else not matched

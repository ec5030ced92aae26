"""Which series match: label name -> value -> postings, regexes evaluated once per distinct value.

Series are dense integers in the order of their arrival. A missing label matches as the empty string, so a
matcher that accepts the empty string also accepts every series without that label (as Prometheus does).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np

from monitor.metrics.interface import Bools, Codes, Labels, Matcher, MatchOp
from monitor.metrics.matching import predicate

_CACHED_SELECTIONS = 512


class SeriesIndex:
    """Label sets by number and numbers by label. Not locked: the store does that."""

    __slots__ = ("_numbers", "_pairs", "_postings", "_selections", "gaps", "labels", "metric")

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self.metric: list[str] = []
        self.gaps = array("i")
        self._numbers: dict[Labels, int] = {}
        self._pairs: dict[
            tuple[str, str], tuple[str, str]
        ] = {}  # one object a pair, however many series have it
        self._postings: dict[str, dict[str, array[int]]] = {}
        self._selections: dict[tuple[Matcher, ...], tuple[Codes, tuple[Labels, ...]]] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pairs(self) -> int:
        """How many different pairs of label and value there are."""
        return len(self._pairs)

    def number(self, labels: Labels) -> int:
        """The number of a label set, -1 when it is not known."""
        return self._numbers.get(labels, -1)

    def numbers(self, labels: Sequence[Labels]) -> Codes:
        """The numbers of many label sets, -1 where not known."""
        get = self._numbers.get
        return np.array([get(label_set, -1) for label_set in labels], np.int32)

    def add(self, labels: Labels, number: int | None = None) -> int:
        """Register a new label set, under a given number (>= the present length) or the next one."""
        number = len(self.labels) if number is None else number
        while len(self.labels) < number:
            self.gaps.append(len(self.labels))
            self.labels.append(())
            self.metric.append("")
        shared = [self._pairs.setdefault(pair, pair) for pair in labels]
        if any(mine is not given for mine, given in zip(shared, labels, strict=True)):
            labels = tuple(shared)
        self.labels.append(labels)
        self.metric.append(next((value for name, value in labels if name == "__name__"), ""))
        self._numbers[labels] = number
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, array("i")).append(number)
        self._selections.clear()
        return number

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget series; their numbers are not given again."""
        pairs: set[tuple[str, str]] = set()
        for number in numbers:
            pairs.update(self.labels[number])
            del self._numbers[self.labels[number]]
            self.labels[number] = ()
            self.metric[number] = ""
            self.gaps.append(number)
        self._forget_postings(pairs, np.array(numbers, np.int32))
        self._selections.clear()

    def _forget_postings(self, pairs: set[tuple[str, str]], numbers: Codes) -> None:
        """Without this, label values that come once and never again would stay for ever."""
        for name, value in pairs:
            postings = np.array(self._postings[name][value], np.int32)
            left = postings[~np.isin(postings, numbers)]
            if len(left):
                self._postings[name][value] = array("i", left.tolist())
                continue
            del self._postings[name][value]
            self._pairs.pop((name, value), None)
            if not self._postings[name]:
                del self._postings[name]

    def select(self, matchers: Sequence[Matcher]) -> Codes:
        """The numbers of the matching series, ascending; read-only. Raises QueryError for a bad regex."""
        return self.selection(matchers)[0]

    def selection(self, matchers: Sequence[Matcher]) -> tuple[Codes, tuple[Labels, ...]]:
        """Numbers and label sets of the matching series, remembered: the same objects until a series is new."""
        key = tuple(matchers)
        found = self._selections.get(key)
        if found is None:
            numbers = np.flatnonzero(self._mask(key)).astype(np.int32)
            numbers.flags.writeable = False
            if len(self._selections) >= _CACHED_SELECTIONS:
                self._selections.clear()
            found = numbers, tuple([self.labels[number] for number in numbers.tolist()])
            self._selections[key] = found
        return found

    def _mask(self, matchers: Sequence[Matcher]) -> Bools:
        mask = np.ones(len(self.labels), np.bool_)
        for matcher in matchers:
            mask &= self._matching(self._postings.get(matcher.name, {}), matcher)
        mask[self.gaps] = False
        return mask

    def _matching(self, values: Mapping[str, array[int]], matcher: Matcher) -> Bools:
        """Series whose value is accepted; those without the label too when the empty string is."""
        accepts = predicate(matcher)
        start = accepts("")
        if matcher.op is MatchOp.EQ and matcher.value:
            wanted = [values[matcher.value]] if matcher.value in values else []
        else:
            wanted = [postings for value, postings in values.items() if accepts(value) is not start]
        mask = np.full(len(self.labels), start, np.bool_)
        for postings in wanted:
            mask[postings] = not start
        return mask

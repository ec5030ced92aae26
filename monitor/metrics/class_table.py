"""A class table: the newest hours of all series that are polled at one interval, time-major.

Rows are slots of the interval; a group of series polled together has one time stamp in a row, written in `times`,
and each metric one `Block` of values. Slot `s` of a group that is polled at phase `p` is about s * interval + p,
within half an interval; a group whose sample comes too early for its slot takes the next row, and one that runs
ahead more than `SLACK` rows is refused: it belongs in a table with a shorter interval. Rows exist only for slots in
which something was polled, up to short gaps. An interval of 0 makes a table for one group without rhythm: every
time stamp is the next row. Not locked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.block import NOBODY, Block
from monitor.metrics.interface import Bools, Codes, Ints, Labels, Matcher, Part
from monitor.metrics.piece import HOLE, NEVER, odd_columns
from monitor.metrics.places import runs
from monitor.metrics.series import Dictionary

SLACK = 2
_GAP_ROWS = 64
_MORE_ROWS = 24
_FIRST_GROUPS = 4
_RHYTHM_ROWS = 2
_MOST_CELLS = 1 << 20
_BEFORE = -(2**62)

DEFAULT_INTERVAL_MS = 60_000
INTERVALS_MS = tuple(
    1000 * seconds for seconds in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
)

Target = tuple[str, str, str]
"""job, instance and device of a series."""


class ClassTable:
    """See the module. `times` [rows, capacity] is NEVER where a group has no sample."""

    __slots__ = (
        "blocks",
        "depth",
        "groups",
        "interval_ms",
        "last_row",
        "newest",
        "phase",
        "rows_of",
        "settled",
        "slots",
        "targets",
        "times",
    )

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.blocks: dict[str, Block] = {}
        self.depth = 0
        self.groups = 0
        self.slots = np.zeros(_MORE_ROWS, np.int64)
        self.times = np.full((_MORE_ROWS, _FIRST_GROUPS), NEVER)
        self.phase = np.zeros(_FIRST_GROUPS, np.int64)
        self.newest = np.full(_FIRST_GROUPS, _BEFORE)
        self.last_row = np.full(_FIRST_GROUPS, -1)
        self.rows_of = np.zeros(_FIRST_GROUPS, np.int64)
        self.settled = np.zeros(_FIRST_GROUPS, np.bool_)
        self.targets: list[Target] = []

    @property
    def size(self) -> int:
        """Bytes of the matrices."""
        return self.times.nbytes + sum(block.size for block in self.blocks.values())

    def add_group(self, target: Target, first_ms: int, *, settled: bool = False) -> int:
        """A group of series of one target whose first time stamp will be `first_ms`.

        One that is settled came from another table and is not asked again whether it is too slow.
        """
        if self.groups == self.times.shape[1]:
            more = max(_FIRST_GROUPS, self.groups // 4)
            self.times = np.concatenate([self.times, np.full((len(self.times), more), NEVER)], axis=1)
            self.phase = np.concatenate([self.phase, np.zeros(more, np.int64)])
            self.newest = np.concatenate([self.newest, np.full(more, _BEFORE)])
            self.last_row = np.concatenate([self.last_row, np.full(more, -1)])
            self.rows_of = np.concatenate([self.rows_of, np.zeros(more, np.int64)])
            self.settled = np.concatenate([self.settled, np.zeros(more, np.bool_)])
        group = self.groups
        self.phase[group] = first_ms % self.interval_ms if self.interval_ms else 0
        self.settled[group] = settled
        self.groups += 1
        self.targets.append(target)
        return group

    def add_column(self, metric: str, series: int, labels: Labels, group: int) -> tuple[Block, int]:
        """A column for a series in the block of its metric."""
        block = self.blocks.get(metric)
        if block is None:
            block = self.blocks[metric] = Block(metric, len(self.slots))
        return block, block.add(series, labels, group)

    def suits(self, groups: Codes, times: Ints) -> bool:
        """Whether new time stamps keep to the interval: one a slot or less, and not much less."""
        if not self.interval_ms:
            return True
        _, ahead = self._slots(groups, times)
        return not bool((ahead > SLACK).any() or self._slow(groups, times).any())

    def _slots(self, groups: Codes, times: Ints) -> tuple[Ints, Ints]:
        """The slot for each time stamp, and how many slots that is ahead of its time."""
        last = self.last_row[groups]
        after = np.where(last >= 0, self.slots[last] + 1, _BEFORE)
        if not self.interval_ms:
            slots = np.maximum(after, 0)
            return slots, np.zeros(len(slots), np.int64)
        nominal = (times - self.phase[groups] + self.interval_ms // 2) // self.interval_ms
        slots = np.maximum(nominal, after)
        return slots, slots - nominal

    def _slow(self, groups: Codes, times: Ints) -> Bools:
        """Groups in their first rows that keep to a longer interval."""
        young = (self.rows_of[groups] == _RHYTHM_ROWS) & ~self.settled[groups]
        if young.any():
            some = np.flatnonzero(young)
            stamps = np.sort(self.times[: self.depth, groups[some]], axis=0)[:_RHYTHM_ROWS]
            shortest = np.diff(np.vstack([stamps, times[some]]), axis=0).min(0)
            steps, at = np.unique(shortest, return_inverse=True)
            longer = np.array([interval_of(float(step)) > self.interval_ms for step in steps.tolist()])
            young[some] = longer[at]
        return np.asarray(young)

    def place(self, groups: Codes, times: Ints) -> tuple[Ints, Bools]:
        """Rows for new time stamps, one a group, each newer than its group's newest; and which fit.

        The rows of those that do not fit mean nothing, and nothing is changed for them.
        """
        slots, ahead = self._slots(groups, times)
        fits = ahead <= SLACK
        if self.interval_ms:
            fits &= ~self._slow(groups, times)
        rows = self._rows_of_slots(slots, fits)
        if fits.all():
            self._note(rows, groups, times)
        elif fits.any():
            self._note(rows[fits], groups[fits], times[fits])
        return rows, fits

    def place_all(self, groups: Codes, times: Ints) -> Ints:
        """Make rows for new time stamps, sorted by group and time, any number a group; positions of the refused.

        Once one time stamp of a group does not fit, its later ones are refused too.
        """
        if not len(groups):
            return np.empty(0, np.int64)
        if not self.interval_ms:
            self._follow(int(groups[0]), times)
            return np.empty(0, np.int64)
        begins = np.flatnonzero(np.diff(groups, prepend=-1))
        counts = np.diff(begins, append=len(groups))
        refused = [np.empty(0, np.int64)]
        for level in range(int(counts.max())):
            deep = counts > level
            begins, counts = begins[deep], counts[deep]
            now = begins + level
            _, fits = self.place(groups[now], times[now])
            if not fits.all():
                refused += [
                    np.arange(at + level, at + n) for at, n in zip(begins[~fits], counts[~fits], strict=True)
                ]
                begins, counts = begins[fits], counts[fits]
            if not len(begins):
                break
        return np.concatenate(refused)

    def _follow(self, group: int, times: Ints) -> None:
        """The next rows of a table without rhythm, which has but one group."""
        first = int(self.slots[self.depth - 1]) + 1 if self.depth else 0
        slots = np.arange(first, first + len(times))
        rows = self._rows_of_slots(slots, np.ones(len(slots), np.bool_))
        self._note(rows, np.full(len(rows), group), times)
        self.newest[group], self.last_row[group] = times[-1], rows[-1]
        self.rows_of[group] += len(times) - 1

    def _note(self, rows: Ints, groups: Codes, times: Ints) -> None:
        # The time stamps of readers are copies, so a row that is being written is not theirs to see yet.
        self.times[rows, groups] = times
        self.newest[groups] = times
        self.last_row[groups] = rows
        self.rows_of[groups] += 1

    def _rows_of_slots(self, slots: Ints, fits: Bools) -> Ints:
        """The row of each slot; rows that do not exist yet are made."""
        known = self.slots[: self.depth]
        rows = np.searchsorted(known, slots)
        if self.depth:
            there = (rows < self.depth) & (known[np.minimum(rows, self.depth - 1)] == slots)
        else:
            there = np.zeros(len(slots), np.bool_)
        if (there | ~fits).all():
            return rows
        self._make_rows(np.unique(slots[fits & ~there]))
        return np.searchsorted(self.slots[: self.depth], slots)

    def _make_rows(self, new: Ints) -> None:
        old = self.slots[: self.depth]
        everything = np.union1d(old, new)
        gaps = np.diff(everything)
        short = np.flatnonzero((gaps > 1) & (gaps <= _GAP_ROWS))
        if len(short):
            # A short silence gets its rows at once: somebody will come late with samples of it.
            filled = [np.arange(everything[at] + 1, everything[at + 1]) for at in short.tolist()]
            everything = np.union1d(everything, np.concatenate(filled))
        grows = len(everything) <= len(self.slots) and np.array_equal(everything[: self.depth], old)
        if grows:
            self.slots[self.depth : len(everything)] = everything[self.depth :]
            self.depth = len(everything)
            return
        rows = np.full(len(everything), -1)
        rows[np.searchsorted(everything, old)] = np.arange(len(old))
        self._reshape(everything, rows)

    def _reshape(self, slots: Ints, rows: Ints) -> None:
        """Row i becomes what was row rows[i] (new when negative), with room for more."""
        capacity = len(slots) + _MORE_ROWS
        kept = np.flatnonzero(rows >= 0)
        times = np.full((capacity, self.times.shape[1]), NEVER)
        times[kept] = self.times[rows[kept]]
        moved = np.full(len(self.slots) + 1, -1)
        moved[rows[kept]] = kept
        for block in self.blocks.values():
            block.reshape(rows, capacity)
        self.times = times
        self.slots = np.concatenate([slots, np.zeros(capacity - len(slots), np.int64)])
        self.depth = len(slots)
        self.last_row = moved[self.last_row]

    def empty_group(self, group: int) -> None:
        """A group went to another table."""
        self.times[:, group] = NEVER
        self.newest[group] = _BEFORE
        self.last_row[group] = -1
        self.rows_of[group] = 0

    def find(self, groups: Codes, times: Ints) -> Ints:
        """The row of each (group, time stamp), -1 where there is none."""
        if not len(groups):
            return np.empty(0, np.int64)
        newest = self.newest[groups] == times
        if newest.all():
            return self.last_row[groups]
        if self.depth * len(groups) <= _MOST_CELLS:
            match = self.times[: self.depth, groups] == times
            return np.where(match.any(0), match.argmax(0), -1)
        found = np.full(len(groups), -1)
        for group, members in runs(groups):
            rows = np.flatnonzero(self.times[: self.depth, group] != NEVER)
            stamps = self.times[rows, group]
            at = np.minimum(np.searchsorted(stamps, times[members]), len(stamps) - 1)
            found[members] = np.where(stamps[at] == times[members], rows[at], -1) if len(rows) else -1
        return found

    def reach(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """Rows that may hold a time stamp in (start_ms, end_ms]."""
        if not self.interval_ms:
            return 0, self.depth
        slots = self.slots[: self.depth]
        low = (start_ms - self.interval_ms - self.interval_ms // 2) // self.interval_ms
        high = (end_ms + self.interval_ms // 2) // self.interval_ms + SLACK + 1
        return int(np.searchsorted(slots, low)), int(np.searchsorted(slots, high, "right"))

    def drop_before(self, boundary_ms: int) -> None:
        """Forget the time stamps (and with them the values) older than the boundary."""
        old = self.times[: self.depth] < boundary_ms
        if not old.any():
            return
        self.rows_of -= old.sum(0)
        alive = np.flatnonzero((~old & (self.times[: self.depth] != NEVER)).any(1))
        first = int(alive[0]) if len(alive) else self.depth
        old = old[first:]
        # Readers may hold views of the present matrices: the new ones are changed, never those.
        self._reshape(self.slots[first : self.depth].copy(), np.arange(first, self.depth))
        self.times[: self.depth][old] = NEVER
        for block in self.blocks.values():
            cells = old[:, block.group[: block.width]]
            block.values[: self.depth, : block.width][cells] = HOLE

    def survivors(self) -> tuple[Ints, Codes]:
        """Groups that still have a time stamp, and for every group its number among them (-1 for the others)."""
        kept = np.flatnonzero(self.rows_of[: self.groups] > 0)
        number = np.full(max(self.groups, 1), -1, np.int32)
        number[kept] = np.arange(len(kept))
        return kept, number

    def keep_groups(self, kept: Ints) -> None:
        """Only these groups stay; the caller renumbers the columns."""
        self.times = np.take(self.times, kept, axis=1)
        self.phase, self.newest = self.phase[kept], self.newest[kept]
        self.last_row, self.rows_of = self.last_row[kept], self.rows_of[kept]
        self.settled = self.settled[kept]
        self.targets = [self.targets[group] for group in kept.tolist()]
        self.groups = len(kept)

    def members(self, groups: Codes) -> tuple[Codes, Ints]:
        """The series that have columns in some groups, sorted, and the place of each one's group among those."""
        place = np.full(self.groups, -1)
        place[groups] = np.arange(len(groups))
        series, of = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for block in self.blocks.values():
            found = place[block.group[: block.width]]
            found[block.series[: block.width] == NOBODY] = -1
            columns = np.flatnonzero(found >= 0)
            series.append(block.series[columns])
            of.append(found[columns])
        order = np.argsort(np.concatenate(series), kind="stable")
        return np.concatenate(series)[order], np.concatenate(of)[order]

    def part(
        self, block: Block, matchers: Sequence[Matcher], dictionary: Dictionary, reach: tuple[int, int]
    ) -> Part | None:
        """What the matching series of one block have in some rows; None when nothing matches."""
        columns, labels = block.select(matchers, dictionary)
        if not len(labels):
            return None
        low, high = reach
        group = block.group[columns]
        if len(group) * 4 < self.groups:
            groups, codes = np.unique(group, return_inverse=True)
            times = np.take(self.times[low:high], groups, axis=1)
            group = codes.astype(np.int32)
        else:
            times = self.times[low:high, : self.groups].copy()
        falling = block.rows_falling(low, high)
        if isinstance(columns, slice):
            return Part(labels, group, times, block.values[low:high, columns], block.odd(low, high), falling)
        values = np.take(block.values[low:high], columns, axis=1)
        return Part(labels, group, times, values, odd_columns(values), falling)


def interval_of(step_ms: float) -> int:
    """The interval that a step between two time stamps keeps to, with a quarter to spare; 0 for less than any."""
    return max((interval for interval in INTERVALS_MS if interval <= step_ms * 1.25), default=0)

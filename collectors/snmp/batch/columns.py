"""Readings of many devices at once: the formulas of their recipes, gathered by form. Numpy.

A device's numbers lie in the engine's cells. What its recipe makes of them lies in a row of `values` of its own, in the
order of the recipe's series; the forms (a cell as it is, a cell over a constant ...) are few, so a round of thousands
of devices costs a few array operations for each. Cells are counted from a device's first, so that alike devices share
what is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from collectors.profiles.recipe import Recipe
from collectors.profiles.traced import Formula, Node, evaluate
from collectors.snmp.ber import Oid
from monitor.metrics.arrays import Bools, Floats, Ints

_Small: TypeAlias = npt.NDArray[np.int32]
_KEY_OCTETS: Final = 16
_FEW_ENTRIES: Final = 1024


@dataclass(frozen=True, slots=True)
class Columns:
    """What polls gave: device [i] has the next `counts` [i] of `values`, in the order of its series."""

    devices: Ints
    counts: Ints
    values: Floats


@dataclass(slots=True)
class _Entries:
    """`count` entries of a form from `begin`, used by so many devices."""

    key: bytes
    begin: int
    count: int
    users: int = 0


class _Form:
    """All formulas of one form: a device has entries, and the place of its first cell."""

    def __init__(self, cells: int, constants: int) -> None:
        self._cells = [np.empty((0, cells), np.int32)]
        self._constants: list[Floats] = [np.empty((0, constants))]
        self._wanted = [np.empty(0, np.int32)]
        self._of_device: dict[int, tuple[_Entries, int]] = {}
        self._same: dict[bytes, _Entries] = {}
        self._size = 0
        self._dead = 0

    def add(self, device: int, first: int, cells: Ints, constants: Floats, wanted: Ints) -> None:
        """Entries of a device: its cells from `first`, constants, and where the result goes (or what it must be)."""
        key = hashlib.blake2b(
            b"".join((cells.tobytes(), constants.tobytes(), wanted.tobytes())), digest_size=_KEY_OCTETS
        ).digest()
        entries = self._same.get(key)
        if entries is None:
            self._cells.append(cells.astype(np.int32))
            self._constants.append(constants)
            self._wanted.append(wanted.astype(np.int32))
            entries = self._same[key] = _Entries(key, self._size, len(wanted))
            self._size += len(wanted)
        entries.users += 1
        self._of_device[device] = entries, first

    def remove(self, device: int) -> None:
        """Forget a device; entries nobody uses go when they are most."""
        entries, _ = self._of_device.pop(device, (None, 0))
        if entries is None:
            return
        entries.users -= 1
        if not entries.users:
            del self._same[entries.key]
            self._dead += entries.count
            if self._dead > max(_FEW_ENTRIES, self._size // 2):
                self._pack()

    def _pack(self) -> None:
        kept = np.concatenate([
            np.empty(0, np.int64),
            *(np.arange(one.begin, one.begin + one.count) for one in self._same.values()),
        ])  # fmt: skip
        cells, constants, wanted = self._joined()
        self._cells, self._constants, self._wanted = [cells[kept]], [constants[kept]], [wanted[kept]]
        self._size = self._dead = 0
        for one in self._same.values():
            one.begin = self._size
            self._size += one.count

    def _joined(self) -> tuple[_Small, Floats, _Small]:
        if len(self._cells) > 1:
            self._cells = [np.concatenate(self._cells)]
            self._constants = [np.concatenate(self._constants)]
            self._wanted = [np.concatenate(self._wanted)]
        return self._cells[0], self._constants[0], self._wanted[0]

    def of(self, devices: Sequence[int]) -> tuple[Ints, Ints, Floats, Ints] | None:
        """Place in `devices`, cells, constants and wanted of every entry of these devices."""
        found = []
        for at, device in enumerate(devices):
            if (mine := self._of_device.get(device)) is not None:
                found.append((at, mine[0].begin, mine[0].count, mine[1]))
        if not found:
            return None
        at, begins, counts, firsts = np.array(found).T
        ends = np.cumsum(counts)
        some = np.repeat(begins - (ends - counts), counts) + np.arange(ends[-1])
        cells, constants, wanted = self._joined()
        return (
            np.repeat(at, counts), cells[some] + np.repeat(firsts, counts)[:, None],
            constants[some], wanted[some].astype(np.int64),
        )  # fmt: skip


class Kitchen:
    """The recipes of all devices of an engine. A device is an engine's number."""

    def __init__(self) -> None:
        self._formulas: dict[Node, _Form] = {}
        self._conditions: dict[Node, _Form] = {}
        self._sizes: dict[int, int] = {}

    def add(self, device: int, recipe: Recipe, first: int, places: Mapping[Oid, int]) -> None:
        """A device's recipe; `places` tells where from the engine's cell `first` the number of each object lies."""
        self._sizes[device] = len(recipe.series)
        formulas = zip(recipe.formulas, range(len(recipe.series)), strict=True)
        conditions = ((one, int(outcome)) for one, outcome in recipe.conditions)
        for forms, wanted in ((self._formulas, formulas), (self._conditions, conditions)):
            for node, some in _by_form(wanted).items():
                shape = some[0][0]
                form = forms.get(node)
                if form is None:
                    form = forms[node] = _Form(len(shape.cells), len(shape.constants))
                cells = np.array([[places[oid] for oid in one.cells] for one, _ in some], np.int64)
                constants = np.array([one.constants for one, _ in some], np.float64)
                results = np.array([result for _, result in some], np.int64)
                count = len(some)
                form.add(device, first, cells.reshape(count, -1), constants.reshape(count, -1), results)

    def remove(self, device: int) -> None:
        """Forget a device."""
        if self._sizes.pop(device, None) is not None:
            for form in (*self._formulas.values(), *self._conditions.values()):
                form.remove(device)

    def serve(self, devices: Ints, cells: Floats) -> tuple[Columns, Bools]:
        """The readings of devices from their cells, and for which of the devices they hold."""
        names: list[int] = devices.tolist()
        counts = np.array([self._sizes[name] for name in names], np.int64)
        begins = np.cumsum(counts) - counts
        values = np.full(int(counts.sum()), np.nan)
        flat = cells.reshape(-1)
        with np.errstate(all="ignore"):
            for node, form in self._formulas.items():
                if (found := form.of(names)) is not None:
                    at, places, constants, wanted = found
                    values[begins[at] + wanted] = evaluate(node, flat[places], constants)
            holds = np.ones(len(names), np.bool_)
            for node, form in self._conditions.items():
                if (found := form.of(names)) is not None:
                    at, places, constants, wanted = found
                    holds[at[evaluate(node, flat[places], constants) != wanted]] = False
        broken = ~np.isfinite(values)
        if broken.any():
            holds[np.repeat(np.arange(len(names)), counts)[broken]] = False
        return Columns(devices, counts, values), holds


def _by_form(wanted: Iterable[tuple[Formula, int]]) -> dict[Node, list[tuple[Formula, int]]]:
    found: dict[Node, list[tuple[Formula, int]]] = {}
    for formula, result in wanted:
        found.setdefault(formula.form, []).append((formula, result))
    return found

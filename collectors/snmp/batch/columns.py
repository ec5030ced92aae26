"""Readings of many devices at once: the formulas of their recipes, gathered by form. Numpy.

A device's numbers lie in the engine's cells. What its recipe makes of them lies in a row of `values` of its own, in the
order of the recipe's series; the forms (a cell as it is, a cell over a constant ...) are few, so a round of thousands
of devices costs a few array operations for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collectors.profiles.recipe import Recipe
from collectors.profiles.traced import Formula, Node, evaluate
from collectors.snmp.ber import Oid
from monitor.metrics.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Columns:
    """What polls gave: device [i] has the next `counts` [i] of `values`, in the order of its series."""

    devices: Ints
    counts: Ints
    values: Floats


class _Form:
    """All formulas of one form: the entries of device d are `counts` [d] from `begins` [d]."""

    def __init__(self, cells: int, constants: int) -> None:
        self._cells: list[Ints] = [np.empty((0, cells), np.int64)]
        self._constants: list[Floats] = [np.empty((0, constants))]
        self._wanted: list[Ints] = [np.empty(0, np.int64)]
        self.begins: dict[int, tuple[int, int]] = {}
        self._size = 0

    def add(self, device: int, cells: Ints, constants: Floats, wanted: Ints) -> None:
        """Entries of a device: its cells, constants, and where the result goes (or what it must be)."""
        self._cells.append(cells)
        self._constants.append(constants)
        self._wanted.append(wanted)
        self.begins[device] = (self._size, len(wanted))
        self._size += len(wanted)

    def remove(self, device: int) -> None:
        """Forget a device; its entries go when most are dead."""
        self.begins.pop(device, None)
        alive = sum(count for _, count in self.begins.values())
        if self._size > 1024 and alive < self._size // 2:
            self._pack()

    def _pack(self) -> None:
        cells, constants, wanted = self._joined()
        kept = [(device, slice(begin, begin + count)) for device, (begin, count) in self.begins.items()]
        self._cells, self._constants, self._wanted = [cells[:0]], [constants[:0]], [wanted[:0]]
        self.begins, self._size = {}, 0
        for device, some in kept:
            self.add(device, cells[some], constants[some], wanted[some])

    def _joined(self) -> tuple[Ints, Floats, Ints]:
        if len(self._cells) > 1:
            self._cells = [np.concatenate(self._cells)]
            self._constants = [np.concatenate(self._constants)]
            self._wanted = [np.concatenate(self._wanted)]
        return self._cells[0], self._constants[0], self._wanted[0]

    def of(self, devices: Sequence[int]) -> tuple[Ints, Ints, Floats, Ints] | None:
        """Place in `devices`, cells, constants and wanted of every entry of these devices."""
        found = [(at, *self.begins[device]) for at, device in enumerate(devices) if device in self.begins]
        if not found:
            return None
        at, begins, counts = (np.array(column) for column in zip(*found, strict=True))
        ends = np.cumsum(counts)
        some = np.repeat(begins - (ends - counts), counts) + np.arange(ends[-1])
        cells, constants, wanted = self._joined()
        return np.repeat(at, counts), cells[some], constants[some], wanted[some]


class Kitchen:
    """The recipes of all devices of an engine. A device is an engine's number."""

    def __init__(self) -> None:
        self._formulas: dict[Node, _Form] = {}
        self._conditions: dict[Node, _Form] = {}
        self._sizes: dict[int, int] = {}

    def add(self, device: int, recipe: Recipe, places: Mapping[Oid, int]) -> None:
        """A device's recipe; `places` tells where among the engine's cells the number of each object lies."""
        self._sizes[device] = len(recipe.series)
        _add(self._formulas, device, [*zip(recipe.formulas, range(len(recipe.series)), strict=True)], places)
        _add(self._conditions, device, [(one, int(outcome)) for one, outcome in recipe.conditions], places)

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


def _add(
    forms: dict[Node, _Form], device: int, wanted: Sequence[tuple[Formula, int]], places: Mapping[Oid, int]
) -> None:
    by_form: dict[Node, list[tuple[Formula, int]]] = {}
    for formula, result in wanted:
        by_form.setdefault(formula.form, []).append((formula, result))
    for node, some in by_form.items():
        first = some[0][0]
        form = forms.get(node)
        if form is None:
            form = forms[node] = _Form(len(first.cells), len(first.constants))
        count = len(some)
        form.add(
            device,
            np.array([[places[oid] for oid in one.cells] for one, _ in some], np.int64).reshape(count, -1),
            np.array([one.constants for one, _ in some], np.float64).reshape(count, -1),
            np.array([result for _, result in some], np.int64),
        )

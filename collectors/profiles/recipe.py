"""A profile's reading of one device as arithmetic on its numbers, for polls that found nothing else changed. Pure.

`trace` reads what the device said once more with numbers that remember how they were made. The recipe it gives yields
the same readings from new numbers, as long as its conditions hold; when one does not, the device must be read by the
profile again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from collectors.interface import Reading
from collectors.profiles.profile import Extract, Module, Profile
from collectors.profiles.read import Columns, Report, Row, read_module, subids_of, summarise
from collectors.profiles.traced import Cell, Constant, Formula, Operation, Tape, Traced, formula_of, node_of
from collectors.profiles.values import EXACT, number_of
from collectors.snmp.ber import NUMERIC, OCTET_STRING, Oid, Typed, encode_index

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """`formulas` [i] gives the value of `series` [i], as long as every formula of `conditions` comes out as it did.
    `measured` are the objects whose text is read as a number.
    """

    series: tuple[SeriesKey, ...]
    formulas: tuple[Formula, ...]
    conditions: tuple[tuple[Formula, bool], ...]
    measured: frozenset[Oid]

    @property
    def cells(self) -> frozenset[Oid]:
        """Every object the recipe needs the number of."""
        formulas = [*self.formulas, *(formula for formula, _ in self.conditions)]
        return frozenset(oid for formula in formulas for oid in formula.cells)


class _Notes:
    """What a trace finds out."""

    def __init__(self, texts: Collection[Oid] = ()) -> None:
        self.tape = Tape()
        self.texts: set[Oid] = set(texts)
        self.measured: set[Oid] = set()

    def decide(self, oid: Oid, number: float, *, outcome: bool) -> None:
        """Whether an object's number is this one."""
        self.tape.conditions[Operation("==", (Cell(oid), Constant(float(number))))] = outcome

    def measure(self, oid: Oid) -> None:
        """An object's text is read as a number, and must stay one."""
        self.measured.add(oid)
        self.tape.conditions[Operation("==", (Cell(oid), Cell(oid)))] = True


class _TracingRow(Row):
    """A row whose numbers are traced and whose texts are noted."""

    __slots__ = ("_notes", "_octets")

    def __init__(
        self, notes: _Notes, module: Module, cells: dict[str, Typed], columns: Columns, index: bytes | None
    ) -> None:
        super().__init__(module, cells, columns, index)
        self._notes = notes
        self._octets = index

    def typed(self, alias: str) -> Typed | None:
        """See Row; notes whether a number is one that means absent."""
        cell = super().typed(alias)
        origin = self._origin(alias) if alias in self._module.absent else None
        if origin is not None:
            oid, raw = origin
            now = _float_of(raw)
            if cell is None and raw[0] not in NUMERIC:
                self._notes.texts.add(oid)
            for text in self._module.absent[alias]:
                number = _float_of((OCTET_STRING, text.encode()))
                if number is None or (cell is None and number != now):
                    continue
                if number == now and raw[0] not in NUMERIC:
                    self._notes.texts.add(oid)  # the same number may be written as it is here, or otherwise
                else:
                    self._notes.decide(oid, number, outcome=number == now)
        return cell

    def number(self, alias: str) -> float | None:
        """See Row."""
        value = super().number(alias)
        origin = self._origin(alias)
        if value is None or origin is None:
            return value
        oid, (tag, _) = origin
        if oid in self._notes.texts:
            return value
        if tag not in NUMERIC:
            self._notes.measure(oid)
        return Traced(value, Cell(oid), self._notes.tape)

    def text(self, alias: str) -> str:
        """See Row; what is shown as text must stay what it is."""
        found = super().text(alias)
        self._keep(alias)
        return found

    def _keep(self, alias: str) -> None:
        """What an alias stands for must stay what it is."""
        origin = self._origin(alias)
        if origin is None:
            return
        oid, (tag, value) = origin
        if tag not in NUMERIC:
            self._notes.texts.add(oid)
        elif isinstance(value, int):
            # What a float does not tell from its neighbours cannot be seen to stay: nothing equals NaN.
            self._notes.decide(oid, value if abs(value) < EXACT else math.nan, outcome=True)

    def _extracted(self, extract: Extract) -> Typed | None:
        self._keep(extract.source)
        return super()._extracted(extract)

    def _origin(self, alias: str) -> tuple[Oid, Typed] | None:
        """The object an alias stands for, and what it said; None for what is no object's own value."""
        module = self._module
        if alias in self._cells:
            if alias in module.columns and self._octets is not None:
                return module.columns[alias] + self._octets, self._cells[alias]
            return module.scalars[alias], self._cells[alias]
        if alias in module.lookups:
            lookup = module.lookups[alias]
            text = super().fill(lookup.by) or ""
            subids = subids_of(text)
            if subids is not None:
                index = encode_index(subids)
                cell = self._columns.get(lookup.column, {}).get(index)
                return None if cell is None else (lookup.column + index, cell)
        return None


def trace(
    profile: Profile, scalars: Mapping[Oid, Typed], columns: Columns, failed: Collection[str] = ()
) -> Recipe | None:
    """The recipe for a device that said this, `failed` naming the modules that could not be read whole; None when the
    profile has a module that cannot be traced.
    """
    if any(module.reader is not None for module in profile.modules):
        return None
    notes, report = _traced(profile, scalars, columns, failed, texts=())
    if not notes.texts.isdisjoint(notes.measured):
        notes, report = _traced(profile, scalars, columns, failed, texts=notes.texts)
    found = {(reading.name, reading.labels): node_of(reading.value) for reading in reversed(report.readings)}
    pairs = list(reversed(found.items()))  # of a series that is given twice the first counts
    moving = {oid for oid, typed in _said(scalars, columns) if typed[0] in NUMERIC} | notes.measured
    conditions = ((formula_of(node), outcome) for node, outcome in notes.tape.conditions.items())
    return Recipe(
        tuple(key for key, _ in pairs),
        tuple(formula_of(node) for _, node in pairs),
        tuple(one for one in conditions if moving.issuperset(one[0].cells)),
        frozenset(notes.measured),
    )


def _traced(
    profile: Profile,
    scalars: Mapping[Oid, Typed],
    columns: Columns,
    failed: Collection[str],
    *,
    texts: Collection[Oid],
) -> tuple[_Notes, Report]:
    """One reading with numbers that remember; texts in `texts` are none, they must stay what they are."""
    notes, report = _Notes(texts), Report()
    for module in profile.modules:
        read_module(module, scalars, columns, report, partial(_TracingRow, notes))
        report.readings.append(module_reading(module.name, ok=module.name not in failed))
    summarise(report)
    return notes, report


def module_reading(name: str, *, ok: bool) -> Reading:
    """Whether a module could be read whole."""
    return Reading("snmp_module_up", (("module", name),), 1.0 if ok else 0.0)


def _float_of(typed: Typed) -> float | None:
    number = number_of(typed)
    return None if number is None else float(number)


def _said(scalars: Mapping[Oid, Typed], columns: Columns) -> Iterator[tuple[Oid, Typed]]:
    yield from scalars.items()
    for column, rows in columns.items():
        for index, typed in rows.items():
            yield column + index, typed

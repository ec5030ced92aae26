"""Finds tables and scalars in the varbinds of an unknown MIB, and guesses what their columns hold. Pure.

A table is an OID ending in 1 (its entry) below which columns share their indexes. That is a guess from the outside:
whatever comes out of here is a suggestion for people, with samples.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collectors.profiles.values import number_of, text_of
from collectors.snmp.ber import (
    COUNTER32,
    COUNTER64,
    NUMERIC,
    OCTET_STRING,
    TIME_TICKS,
    Typed,
    VarBind,
    decode_oid,
)

Subids = tuple[int, ...]
Rows = Mapping[Subids, Typed]

_MIN_ENTRY: Final = 8  # sub-identifiers: below an enterprise
_ALIKE: Final = 0.6  # part of all cells a table of these rows and columns would have
_MAX_ENUM: Final = 12
_UNIT: Final = re.compile(r"\s*[-+]?\d+(?:\.\d+)?\s*(%|°C|℃|C|mV|V|mA|A|W|RPM|rpm|MB|GB|KB|MHz|dBm)\s*")
_NAMED: Final = 0.5  # part of a text column's values that must differ for it to name rows
_SAMPLES: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it looks like, and some of its values."""

    number: int
    guess: str  # name, text, unit, percent, temperature, enum, counter, ticks, number, octets
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundTable:
    """One table below `entry`."""

    entry: Subids
    rows: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class FoundScalar:
    """One scalar (its OID without the instance's 0)."""

    oid: Subids
    guess: str
    sample: str


def find_tables(varbinds: Iterable[VarBind]) -> tuple[list[FoundTable], list[FoundScalar]]:
    """Tables and scalars, in OID order."""
    cells = {decode_oid(oid): (tag, value) for oid, tag, value in varbinds}
    scalars = [
        FoundScalar(oid[:-1], _guess([typed]), _sample(typed))
        for oid, typed in cells.items()
        if oid[-1] == 0 and not _has_neighbours(oid, cells)
    ]
    single = {(*scalar.oid, 0) for scalar in scalars}
    candidates = _candidates({oid: typed for oid, typed in cells.items() if oid not in single})
    taken: set[Subids] = set()
    tables = []
    for entry, columns in candidates:
        left = {number: _untaken(entry, number, rows, taken) for number, rows in columns.items()}
        left = {number: rows for number, rows in left.items() if rows}
        if not left or _alike(left) < _ALIKE:
            continue
        taken |= {(*entry, number, *index) for number, rows in left.items() for index in rows}
        found = tuple(
            Column(number, _guess(list(rows.values())), _samples(rows))
            for number, rows in sorted(left.items())
        )
        tables.append(FoundTable(entry, max(len(rows) for rows in left.values()), found))
    return sorted(tables, key=lambda table: table.entry), sorted(scalars, key=lambda scalar: scalar.oid)


def _untaken(entry: Subids, number: int, rows: Rows, taken: set[Subids]) -> dict[Subids, Typed]:
    return {index: typed for index, typed in rows.items() if (*entry, number, *index) not in taken}


def _has_neighbours(oid: Subids, cells: Mapping[Subids, Typed]) -> bool:
    """Whether it is rather a row with index 0: the same object has a row 1."""
    return (*oid[:-1], 1) in cells


def _candidates(cells: Mapping[Subids, Typed]) -> list[tuple[Subids, dict[int, dict[Subids, Typed]]]]:
    """Every OID that may be an entry, the likeliest first: rows and columns that fit, many cells, a short index."""
    by_entry: dict[Subids, dict[int, dict[Subids, Typed]]] = defaultdict(lambda: defaultdict(dict))
    for oid, typed in cells.items():
        for at in range(_MIN_ENTRY, len(oid) - 1):
            if oid[at - 1] == 1:
                by_entry[oid[:at]][oid[at]][oid[at + 1 :]] = typed
    ranked = sorted(
        by_entry.items(),
        key=lambda item: (
            _alike(item[1]) < _ALIKE,
            -sum(len(rows) for rows in item[1].values()),
            -len(item[0]),
            item[0],
        ),
    )
    return [(entry, dict(columns)) for entry, columns in ranked]


def _alike(columns: Mapping[int, Rows]) -> float:
    every = {index for rows in columns.values() for index in rows}
    return sum(len(rows) for rows in columns.values()) / (len(columns) * len(every))


def _guess(values: Sequence[Typed]) -> str:
    tags = {tag for tag, _ in values}
    if tags <= {COUNTER32, COUNTER64}:
        return "counter"
    if tags <= {TIME_TICKS}:
        return "ticks"
    if tags <= NUMERIC:
        return _guess_number([value for _, value in values if isinstance(value, int)])
    if not tags <= {OCTET_STRING}:
        return "octets"
    texts = [text_of(typed) for typed in values]
    if all(_UNIT.fullmatch(text) for text in texts):
        return "unit"
    if all(number_of(typed) is not None for typed in values):
        return _guess_number([round(number_of(typed) or 0) for typed in values])
    if any(not text or re.fullmatch(r"(?:[0-9a-f]{2}:)+[0-9a-f]{2}", text) for text in texts):
        return "octets" if all(not text or ":" in text for text in texts) else "text"
    return "name" if len(set(texts)) > _NAMED * len(texts) else "text"


def _guess_number(numbers: Sequence[int]) -> str:
    low, high, distinct = min(numbers), max(numbers), len(set(numbers))
    if numbers == sorted(numbers) and distinct == len(numbers) > 1 and high - low == len(numbers) - 1:
        return "index"
    if low >= 0 and high <= _MAX_ENUM and (high <= 3 or distinct * 2 <= len(numbers)):
        return "enum"
    if low >= 15 and high <= 95 and high - low <= 50:  # degrees inside a machine
        return "temperature"
    if low >= 0 and high <= 100:
        return "percent"
    return "number"


def _samples(rows: Rows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_sample(rows[index]) for index in sorted(rows)))[:_SAMPLES]


def _sample(typed: Typed) -> str:
    text = " ".join(text_of(typed).split())
    return text if len(text) <= 32 else f"{text[:29]}..."

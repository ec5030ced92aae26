"""A module of snmp_exporter as a profile, so that a poll reads it: its metrics become readings. Pure.

A poll reads columns and scalars rather than subtrees: those of the module's metrics that its walk and get cover, of
their lookups, filters, and the columns that tell an address's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from collectors.profiles.modules import COMBINED, Metric, WalkModule
from collectors.profiles.modules_read import Families, previous, read_families
from collectors.profiles.modules_text import text
from collectors.profiles.profile import Module, Profile
from collectors.snmp.ber import Oid, Typed, decode_index, dotted

_SCALAR = b"\0"  # the index of a scalar's only instance


def as_profile(module: WalkModule) -> Profile:
    """A profile that nothing matches: an inventory or another profile names it."""
    scalars, columns = _needed(module)
    read = Module(
        module.name,
        scalars={dotted(oid): oid for oid in scalars},
        columns={dotted(oid): oid for oid in columns},
        reader=Reader(module, tuple(scalars), tuple(columns)),
    )
    return Profile(module.name, (), {}, (read,))


def _needed(module: WalkModule) -> tuple[list[Oid], list[Oid]]:
    scalars: dict[Oid, None] = {}
    columns: dict[Oid, None] = {}
    for metric in module.metrics:
        walked = any(metric.oid.startswith(root) or root.startswith(metric.oid) for root in module.walk)
        targeted = any(metric.oid == target for rule in module.filters for target in rule.targets)
        if walked or targeted:
            if metric.indexes:
                columns[metric.oid] = None
            else:
                scalars[metric.oid + _SCALAR] = None
        for oid in module.get:
            if oid.startswith(metric.oid):
                scalars[oid] = None
        columns.update(dict.fromkeys(_beside(metric)))
    columns.update(dict.fromkeys(rule.oid for rule in module.filters))
    return list(scalars), list(columns)


def _beside(metric: Metric) -> Iterator[Oid]:
    """The other columns that a metric's labels and text are made from."""
    if metric.indexes and metric.type in COMBINED:
        yield previous(metric.oid)
    for lookup in metric.lookups:
        if lookup.labels:
            yield lookup.oid
            if lookup.type in COMBINED:
                yield previous(lookup.oid)


class Reader:
    """Implements profile.SampleReader for one module."""

    __slots__ = ("_columns", "_module", "_partial", "_scalars")

    def __init__(self, module: WalkModule, scalars: tuple[Oid, ...], columns: tuple[Oid, ...]) -> None:
        self._module = module
        self._scalars = scalars
        self._columns = columns
        # Columns of which only some rows were asked for.
        self._partial = {
            column: tuple(root for root in module.walk if root.startswith(column) and root != column)
            for column in columns
            if not any(column.startswith(root) for root in module.walk)
        }

    def __call__(
        self, scalars: Mapping[Oid, Typed], columns: Mapping[Oid, Mapping[bytes, Typed]], /
    ) -> Iterable[tuple[str, tuple[tuple[str, str], ...], float]]:
        """Samples of the module's metrics."""
        varbinds = {oid: scalars[oid] for oid in self._scalars if oid in scalars}
        allowed = self._allowed(columns)
        for column in self._columns:
            rows = allowed.get(column)
            for index, cell in columns.get(column, {}).items():
                oid = column + index
                if (rows is None or decode_index(index)[-1] in rows) and self._asked(column, oid):
                    varbinds[oid] = cell
        families = Families()
        read_families(self._module, varbinds, families, {})
        return [
            (family.name, sample.labels, sample.value) for family in families for sample in family.samples
        ]

    def _asked(self, column: Oid, oid: Oid) -> bool:
        roots = self._partial.get(column)
        return not roots or oid.startswith(roots)

    def _allowed(self, columns: Mapping[Oid, Mapping[bytes, Typed]]) -> dict[Oid, set[int]]:
        found: dict[Oid, set[int]] = {}
        for rule in self._module.filters:
            rows = {
                decode_index(index)[-1]
                for index, cell in columns.get(rule.oid, {}).items()
                if any(pattern.search(text(cell, "DisplayString")) is not None for pattern in rule.values)
            }
            for target in rule.targets:
                found[target] = found.get(target, rows) & rows
        return found

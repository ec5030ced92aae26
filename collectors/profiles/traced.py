"""Numbers that remember how they were made, so that the same arithmetic can be done on many devices at once. Pure.

A Traced is a float with the formula behind it. What is decided on the way (a comparison, whether it is zero) is noted
on a tape: the formulas hold as long as every decision comes out the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final, Self, TypeAlias

import numpy as np

from collectors.snmp.ber import Oid
from monitor.metrics.arrays import Floats

_BINARY: Final[Mapping[str, np.ufunc]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
# Numpy's own differ from Python's in the last bit.
_SCALAR: Final[Mapping[str, Callable[..., object]]] = {"**": operator.pow, "log10": math.log10}


@dataclass(frozen=True, slots=True)
class Cell:
    """The number of an object; in a form, operand `at` of the cells."""

    oid: Oid = b""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Constant:
    """A number; in a form, operand `at` of the constants."""

    value: float = 0.0
    at: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator of `_BINARY` or `_SCALAR`, "negative" or "round", and what it is applied to; more than two parts are
    taken from the left, so that a sum over a table is one operation, however long the table is.
    """

    symbol: str
    parts: tuple[Node, ...]


Node: TypeAlias = Cell | Constant | Operation


@dataclass(slots=True)
class Tape:
    """What was decided while a device was read: each condition and how it came out."""

    conditions: dict[Node, bool] = field(default_factory=dict)


class Traced(float):
    """A float with its formula."""

    __slots__ = ("node", "tape")
    node: Node
    tape: Tape

    def __new__(cls, value: float, node: Node, tape: Tape) -> Self:
        """The number `value`, made by `node`."""
        made = super().__new__(cls, value)
        made.node = node
        made.tape = tape
        return made

    def _with(self, symbol: str, other: float, value: float, *, swapped: bool = False) -> Traced:
        mine, theirs = self.node, node_of(other)
        parts: tuple[Node, ...] = (theirs, mine) if swapped else (mine, theirs)
        if symbol == "+" and not swapped and isinstance(mine, Operation) and mine.symbol == "+":
            parts = (*mine.parts, theirs)
        if not math.isfinite(value):
            self._pin(other)
        return Traced(value, Operation(symbol, parts), self.tape)

    def _pin(self, *others: float) -> None:
        """Nobody uses a result that is no finite number, so it leaves no formula: note from what it came."""
        for number in (self, *others):
            if isinstance(number, Traced):
                number._decide("==", float(number), outcome=True)

    def _decide(self, symbol: str, other: float, *, outcome: bool) -> bool:
        self.tape.conditions[Operation(symbol, (self.node, node_of(other)))] = outcome
        return outcome

    def __add__(self, other: float) -> Traced:
        return self._with("+", other, float(self) + float(other))

    def __radd__(self, other: float) -> Traced:
        return self._with("+", other, float(other) + float(self), swapped=True)

    def __sub__(self, other: float) -> Traced:
        return self._with("-", other, float(self) - float(other))

    def __rsub__(self, other: float) -> Traced:
        return self._with("-", other, float(other) - float(self), swapped=True)

    def __mul__(self, other: float) -> Traced:
        return self._with("*", other, float(self) * float(other))

    def __rmul__(self, other: float) -> Traced:
        return self._with("*", other, float(other) * float(self), swapped=True)

    def __truediv__(self, other: float) -> Traced:
        bool(other)  # whether it can be divided by
        return self._with("/", other, float(self) / float(other))

    def __rtruediv__(self, other: float) -> Traced:
        bool(self)
        return self._with("/", other, float(other) / float(self), swapped=True)

    def __pow__(self, other: float, modulo: None = None) -> Any:
        return self._power(self, other)

    def __rpow__(self, other: float, modulo: None = None) -> Any:
        return self._power(other, self)

    def _power(self, base: float, exponent: float) -> object:
        """A negative base to a fraction is complex, and then no number for anybody."""
        try:
            value: object = float(base) ** float(exponent)
        except ArithmeticError:
            self._pin(base, exponent)
            raise
        if not isinstance(value, float) or not math.isfinite(value):
            self._pin(base, exponent)
        if not isinstance(value, float):
            return value
        made = Traced(value, Operation("**", (node_of(base), node_of(exponent))), self.tape)
        made._decide("==", made, outcome=True)  # there will be a result again
        return made

    def log10(self) -> Traced:
        """The logarithm. Raises ValueError unless above zero."""
        self > 0.0  # noqa: B015 - noted
        return Traced(math.log10(float(self)), Operation("log10", (self.node,)), self.tape)

    def __neg__(self) -> Traced:
        return Traced(-float(self), Operation("negative", (self.node,)), self.tape)

    def __round__(self, digits: Any = None) -> Any:
        return Traced(float(round(float(self))), Operation("round", (self.node,)), self.tape)

    def __bool__(self) -> bool:
        return self._decide("!=", 0.0, outcome=float(self) != 0.0)

    def __lt__(self, other: float) -> bool:
        return self._decide("<", other, outcome=float(self) < float(other))

    def __le__(self, other: float) -> bool:
        return self._decide("<=", other, outcome=float(self) <= float(other))

    def __gt__(self, other: float) -> bool:
        return self._decide(">", other, outcome=float(self) > float(other))

    def __ge__(self, other: float) -> bool:
        return self._decide(">=", other, outcome=float(self) >= float(other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, float | int):
            return False
        return self._decide("==", other, outcome=float(self) == float(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = float.__hash__


def as_float(value: float) -> float:
    """A float as it is, for it may know how it was made; an integer as a float."""
    return value if isinstance(value, float) else float(value)


def log10(value: float) -> float:
    """The logarithm. Raises ValueError unless above zero."""
    return value.log10() if isinstance(value, Traced) else math.log10(value)


def node_of(value: float) -> Node:
    """How a number was made; a constant when nothing is known."""
    return value.node if isinstance(value, Traced) else Constant(float(value))


@dataclass(frozen=True, slots=True)
class Formula:
    """A node with its operands taken out: `form` is the same for all that do the same arithmetic."""

    form: Node
    cells: tuple[Oid, ...]
    constants: tuple[float, ...]


def formula_of(node: Node) -> Formula:
    """The formula of a node."""
    cells: list[Oid] = []
    constants: list[float] = []

    def form(part: Node) -> Node:
        if isinstance(part, Cell):
            if part.oid not in cells:
                cells.append(part.oid)
            return Cell(at=cells.index(part.oid))
        if isinstance(part, Constant):
            constants.append(part.value)
            return Constant(at=len(constants) - 1)
        return Operation(part.symbol, tuple(form(inner) for inner in part.parts))

    return Formula(form(node), tuple(cells), tuple(constants))


def evaluate(form: Node, cells: Floats, constants: Floats) -> Floats:
    """A form on rows of operands: cells [n, cells], constants [n, constants]. Conditions give 0 and 1. What cannot be
    computed is NaN or infinite.
    """
    if isinstance(form, Cell):
        return np.asarray(cells[:, form.at])
    if isinstance(form, Constant):
        return np.asarray(constants[:, form.at])
    values = [evaluate(part, cells, constants) for part in form.parts]
    if form.symbol == "negative":
        return np.negative(values[0])
    if form.symbol == "round":
        return np.round(values[0])
    if form.symbol in _SCALAR:
        return _one_by_one(_SCALAR[form.symbol], values)
    return np.asarray(reduce(_BINARY[form.symbol], values), np.float64)


def _one_by_one(function: Callable[..., object], values: Sequence[Floats]) -> Floats:
    found = np.full(len(values[0]), np.nan)
    for at, operands in enumerate(zip(*(value.tolist() for value in values), strict=True)):
        try:
            result = function(*operands)
        except (ArithmeticError, ValueError):
            continue
        if isinstance(result, float):
            found[at] = result
    return found

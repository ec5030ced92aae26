"""Numbers that remember how they were made, so that the same arithmetic can be done on many devices at once. Pure.

A Traced is a float with the formula behind it. What is decided on the way (a comparison, whether it is zero) is noted
on a tape: the formulas hold as long as every decision comes out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from collectors.snmp.ber import Oid

Floats: TypeAlias = npt.NDArray[np.float64]
_BINARY: Final[Mapping[str, np.ufunc]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


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
    """An operator of `_BINARY`, "negative" or "round", and what it is applied to."""

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
        theirs = node_of(other)
        pair = (theirs, self.node) if swapped else (self.node, theirs)
        return Traced(value, Operation(symbol, pair), self.tape)

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
        return self._power(float(self) ** float(other), (self.node, node_of(other)))

    def __rpow__(self, other: float, modulo: None = None) -> Any:
        return self._power(float(other) ** float(self), (node_of(other), self.node))

    def _power(self, value: object, parts: tuple[Node, Node]) -> object:
        """A negative base to a fraction is complex, and then no number for anybody."""
        return Traced(value, Operation("**", parts), self.tape) if isinstance(value, float) else value

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
    return np.asarray(_BINARY[form.symbol](*values), np.float64)

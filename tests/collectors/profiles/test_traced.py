"""Numbers that remember how they were made: the formula gives what the number is, decisions are noted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.profiles.traced import Cell, Constant, Tape, Traced, evaluate, formula_of, log10, node_of

A, B = Cell(b"\x2b\x01"), Cell(b"\x2b\x02")
numbers = st.floats(-1e6, 1e6)
Arithmetic = Callable[[float, float], float]
OPERATIONS: list[Arithmetic] = [
    lambda a, b: a + b,
    lambda a, b: 3 + a - b + 2,
    lambda a, b: (a + b) + (b + a) + 1,
    lambda a, b: 5 - a * 0.1 * b,
    lambda a, b: -a / (b * b + 1),
    lambda a, b: 100 / (a * a + 1),
    lambda a, b: 10 ** (a / 1e5) * b,
    lambda a, b: (a * a) ** 0.5,
    lambda a, b: round(a * 0.37),
    lambda a, b: log10(a * a + 1),
    lambda a, b: min(a, b) + max(b, 7),
    lambda a, b: sum([a, b, a, b]) / 4,
]


def traced(a: float, b: float, tape: Tape) -> tuple[Traced, Traced]:
    return Traced(a, A, tape), Traced(b, B, tape)


def cells_of(formula_cells: tuple[bytes, ...], a: float, b: float) -> np.ndarray:
    return np.array([[{A.oid: a, B.oid: b}[oid] for oid in formula_cells]], np.float64).reshape(1, -1)


def compute(number: float, a: float, b: float) -> float:
    formula = formula_of(node_of(number))
    constants = np.array([formula.constants], np.float64).reshape(1, -1)
    return float(evaluate(formula.form, cells_of(formula.cells, a, b), constants)[0])


def holds(tape: Tape, a: float, b: float) -> bool:
    for node, outcome in tape.conditions.items():
        formula = formula_of(node)
        constants = np.array([formula.constants], np.float64).reshape(1, -1)
        found = evaluate(formula.form, cells_of(formula.cells, a, b), constants)
        if found[0] != float(outcome):
            return False
    return True


@pytest.mark.parametrize("operation", OPERATIONS)
@given(a=numbers, b=numbers, c=numbers, d=numbers)
def test_the_formula_gives_what_python_gives(
    operation: Arithmetic, a: float, b: float, c: float, d: float
) -> None:
    tape = Tape()
    made = operation(*traced(a, b, tape))
    assert made == operation(a, b)
    assert holds(tape, a, b)
    assert compute(made, a, b) == operation(a, b)
    if holds(tape, c, d):
        assert compute(made, c, d) == operation(c, d)


DECISIONS: list[Callable[[float, float], bool]] = [
    lambda a, b: a < b,
    lambda a, b: a <= 5,
    lambda a, b: 5 - b >= a,
    lambda a, b: a == b,
    lambda a, b: a != 3,
    lambda a, b: bool(a),
    lambda a, b: a > 1 and b > 1,
]


@pytest.mark.parametrize("decision", DECISIONS)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_what_was_decided_is_noted(
    decision: Callable[[float, float], bool], a: int, b: int, c: int, d: int
) -> None:
    tape = Tape()
    outcome = decision(*traced(a, b, tape))
    assert outcome == decision(float(a), float(b))
    if holds(tape, c, d):
        assert decision(float(c), float(d)) == outcome


@pytest.mark.parametrize(
    "fails",
    [
        lambda a: 1 / a,
        lambda a: a**-1,
        lambda a: 10 ** (a + 400),
        log10,
    ],
)
def test_what_cannot_be_computed_is_noted(fails: Callable[[float], float]) -> None:
    tape = Tape()
    with pytest.raises((ArithmeticError, ValueError)):
        fails(Traced(0.0, A, tape))
    assert holds(tape, 0.0, 0.0)
    assert not holds(tape, 5.0, 0.0), "another number may have a result"


def test_what_has_no_finite_result_is_noted() -> None:
    tape = Tape()
    assert math.isinf(Traced(1e300, A, tape) * 1e300)
    assert isinstance(Traced(-8.0, B, tape) ** 0.5, complex)
    assert holds(tape, 1e300, -8.0)
    assert not holds(tape, 1.0, -8.0)
    assert not holds(tape, 1e300, 8.0)


def test_a_result_that_is_none_any_more_does_not_hold() -> None:
    tape = Tape()
    assert Traced(2.0, A, tape) ** 0.5 != 7
    assert not holds(tape, -2.0, 0.0)


def test_equal_arithmetic_has_one_form() -> None:
    tape = Tape()
    first, second = traced(1, 2, tape)
    one, other = formula_of(node_of(first / 100)), formula_of(node_of(second / 1000))
    assert one.form == other.form
    assert (one.cells, one.constants) == ((A.oid,), (100.0,))
    assert formula_of(node_of(4.0)).form == Constant()


def test_a_long_sum_is_one_operation() -> None:
    tape = Tape()
    total = sum([Traced(1.0, Cell(b"\x2b" + bytes((at >> 7 | 0x80, at & 127))), tape) for at in range(3000)])
    formula = formula_of(node_of(total))
    values = evaluate(formula.form, np.full((1, 3000), 0.5), np.array([formula.constants]))
    assert values[0] == 1500

"""Arithmetic over a row's values. Pure: names, numbers, what stands below, and nothing else.

`+ - * / **`, parentheses; `a or b` is the first that is there; `x if a > b else y` with `< <= == != >= >` (a
comparison with something missing does not hold); `log10(x)`, `min(a, b)`, `max(a, b)`. A missing value makes the
whole missing, as do a division by zero and what is no finite number.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from collectors.profiles.traced import as_float, log10
from monitor.errors import InputError

Lookup = Callable[[str], float | None]
Node = Callable[[Lookup], float | None]

_MAX_LENGTH: Final = 200
_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda a, b: as_float(a) ** as_float(b),  # whole numbers would grow without bound
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[float, float], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
}
_FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., float]]]] = {
    "log10": (1, log10),
    "min": (2, min),
    "max": (2, max),
}
_EXACT_BITS: Final = 256  # whole numbers above this are no measurement


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled formula. `names` are the values it needs; a missing one makes the result None."""

    text: str
    names: frozenset[str]
    evaluate: Node


def compile_expression(text: str) -> Expression:
    """Raises InputError on anything but the arithmetic described above."""
    if len(text) > _MAX_LENGTH:
        raise InputError(f"formula longer than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{text!r} is not a formula") from error
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called)
    return Expression(text, names, _node(tree, text))


def _node(tree: ast.expr, text: str) -> Node:
    if isinstance(tree, ast.Name):
        name = tree.id
        return lambda lookup: lookup(name)
    if isinstance(tree, ast.Constant) and type(tree.value) in {int, float}:
        number = float(tree.value)  # type: ignore[arg-type]
        return lambda lookup: number
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        inner = _node(tree.operand, text)
        return lambda lookup: None if (value := inner(lookup)) is None else -value
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        return _applied(_OPERATORS[type(tree.op)], [_node(tree.left, text), _node(tree.right, text)])
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.Or):
        return _first([_node(value, text) for value in tree.values])
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and type(tree.ops[0]) in _COMPARISONS:
        sides = [_node(tree.left, text), _node(tree.comparators[0], text)]
        return _applied(_COMPARISONS[type(tree.ops[0])], sides)
    if isinstance(tree, ast.IfExp):
        return _chosen(_node(tree.test, text), _node(tree.body, text), _node(tree.orelse, text))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
        count, function = _FUNCTIONS.get(tree.func.id, (0, max))
        if count and count == len(tree.args):
            return _applied(function, [_node(argument, text) for argument in tree.args])
    known = ", ".join(_FUNCTIONS)
    raise InputError(f"{text!r} uses something else than names, numbers, + - * / **, comparisons and {known}")


def _applied(apply: Callable[..., float], nodes: list[Node]) -> Node:
    def evaluate(lookup: Lookup) -> float | None:
        values = []
        for node in nodes:
            if (value := node(lookup)) is None:
                return None
            values.append(value)
        try:
            result = apply(*values)
        except (ZeroDivisionError, OverflowError, ValueError):  # ValueError: log10 of what is not above zero
            return None
        if isinstance(result, int):
            return result if result.bit_length() <= _EXACT_BITS else None
        return result if isinstance(result, float) else None  # a negative base to a fraction is complex

    return evaluate


def _first(nodes: list[Node]) -> Node:
    def evaluate(lookup: Lookup) -> float | None:
        for node in nodes:
            if (value := node(lookup)) is not None:
                return value
        return None

    return evaluate


def _chosen(test: Node, then: Node, otherwise: Node) -> Node:
    return lambda lookup: then(lookup) if test(lookup) else otherwise(lookup)

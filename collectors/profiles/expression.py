"""Arithmetic over a row's values: names, numbers, + - * / ** and parentheses. Pure; no calls, no attributes."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.errors import InputError

Lookup = Callable[[str], float | None]
Node = Callable[[Lookup], float | None]

_MAX_LENGTH: Final = 200
_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled formula. `names` are the values it needs; a missing one makes the result None."""

    text: str
    names: frozenset[str]
    evaluate: Node


def compile_expression(text: str) -> Expression:
    """Raises InputError on anything but the arithmetic above."""
    if len(text) > _MAX_LENGTH:
        raise InputError(f"formula longer than {_MAX_LENGTH} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"{text!r} is not a formula") from error
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
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
        return _binary(_OPERATORS[type(tree.op)], _node(tree.left, text), _node(tree.right, text))
    raise InputError(f"{text!r} uses something else than names, numbers, + - * / **")


def _binary(apply: Callable[[float, float], float], left: Node, right: Node) -> Node:
    def evaluate(lookup: Lookup) -> float | None:
        a, b = left(lookup), right(lookup)
        if a is None or b is None:
            return None
        try:
            value = apply(a, b)
        except (ZeroDivisionError, OverflowError):
            return None
        return value if isinstance(value, float | int) else None  # a negative base to a fraction is complex

    return evaluate

"""From text to our own nodes, by way of promql-parser's checked syntax tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import promql_parser as syntax
import re2

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, Matcher, MatchOp
from monitor.metrics.promql import guard
from monitor.metrics.promql.functions import FUNCTIONS
from monitor.metrics.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Bound,
    Call,
    Fixed,
    Matching,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
)

AGGREGATIONS = frozenset(
    [
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "topk",
        "bottomk",
        "quantile",
        "stddev",
        "stdvar",
        "count_values",
    ]
)
_CALENDAR = frozenset(
    "days_in_month day_of_month day_of_week day_of_year hour minute month year".split()  # noqa: SIM905  a word list
)
_UNSTEADY = _CALENDAR | {"predict_linear", "time", "timestamp"}
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """A compiled expression. `kind` is vector, scalar, string or matrix."""

    expression: str
    root: Node
    kind: str


def compile_plan(expression: str, limits: Limits) -> CompiledPlan:
    """Parse and check an expression. Raises QueryError with the reason."""
    guard.check(expression, limits)
    try:
        tree = syntax.parse(expression)
    except ValueError as error:
        raise QueryError(f'invalid parameter "query": parse error: {error}') from None
    root = _compile(tree)
    return CompiledPlan(expression, _fix(root), kind_of(root))


def selector_matchers(expression: str, limits: Limits) -> tuple[Matcher, ...]:
    """The label matchers of an expression that must be a plain selector. Raises QueryError."""
    root = compile_plan(expression, limits).root
    if isinstance(root, Selector) and not root.offset_ms:
        return root.matchers
    raise QueryError(f'invalid parameter "match[]": {expression!r} is not a series selector')


def pretty(expression: str, limits: Limits) -> str:
    """The expression with the parser's own line breaks and indentation. Raises QueryError."""
    compile_plan(expression, limits)
    text: str = syntax.parse(expression).prettify()
    return text


def kind_of(node: Node) -> str:
    """The value type of a node: vector, scalar, string or matrix."""
    match node:
        case Number():
            return "scalar"
        case String():
            return "string"
        case Range() | Subquery():
            return "matrix"
        case Call(name=name):
            return FUNCTIONS[name].returns
        case Negate(inner=inner) | Fixed(inner=inner):
            return kind_of(inner)
        case Binary(left=left, right=right):
            return "scalar" if kind_of(left) == kind_of(right) == "scalar" else "vector"
        case _:
            return "vector"


def _milliseconds(duration: timedelta | None) -> int:
    if duration is None:
        return 0
    return duration.days * _DAY_MS + duration.seconds * 1000 + duration.microseconds // 1000


def _at(modifier: Any) -> At:
    if modifier is None:
        return None
    if modifier.type == syntax.AtModifierType.Start:
        return Bound.START
    if modifier.type == syntax.AtModifierType.End:
        return Bound.END
    seconds: float = modifier.at.timestamp()
    return round(seconds * 1000)


_OPS = MappingProxyType(
    {
        str(syntax.MatchOp.Equal): MatchOp.EQ,
        str(syntax.MatchOp.NotEqual): MatchOp.NE,
        str(syntax.MatchOp.Re): MatchOp.RE,
        str(syntax.MatchOp.NotRe): MatchOp.NRE,
    }
)


def _selector(tree: Any) -> Selector:
    if tree.matchers.or_matchers:
        raise QueryError("`or` between label matchers is not PromQL")
    matchers = [Matcher("__name__", MatchOp.EQ, tree.name)] if tree.name else []
    for item in tree.matchers.matchers:
        op = _OPS[str(item.op)]
        if op in (MatchOp.RE, MatchOp.NRE):
            _check_regex(item.value)
        matchers.append(Matcher(item.name, op, item.value))
    return Selector(tuple(matchers), _milliseconds(tree.offset), _at(tree.at))


def _check_regex(pattern: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        raise QueryError(f"invalid regular expression {pattern!r}: {error}") from None


def _range(tree: Any) -> Range:
    return Range(_selector(tree.vector_selector), _milliseconds(tree.range))


def _subquery(tree: Any) -> Subquery:
    return Subquery(
        _compile(tree.expr),
        _milliseconds(tree.range),
        _milliseconds(tree.step),
        _milliseconds(tree.offset),
        _at(tree.at),
    )


def _call(tree: Any) -> Call:
    name = tree.func.name
    if name not in FUNCTIONS:
        raise QueryError(f"function {name} is not supported")
    return Call(name, tuple(_compile(arg) for arg in tree.args))


def _aggregate(tree: Any) -> Aggregate:
    op = str(tree.op)
    if op not in AGGREGATIONS:
        raise QueryError(f"aggregation {op} is not supported")
    modifier = tree.modifier
    by = modifier is None or modifier.type == syntax.AggModifierType.By
    labels = tuple(modifier.labels) if modifier is not None else ()
    param = None if tree.param is None else _compile(tree.param)
    return Aggregate(op, _compile(tree.expr), param, by, labels)


def _binary(tree: Any) -> Binary:
    modifier = tree.modifier
    matching = Matching() if modifier is None else _matching(modifier)
    return Binary(
        str(tree.op).lower(),
        _compile(tree.lhs),
        _compile(tree.rhs),
        matching,
        modifier is not None and bool(modifier.return_bool),
    )


def _matching(modifier: Any) -> Matching:
    many = {
        str(syntax.VectorMatchCardinality.ManyToOne): "left",
        str(syntax.VectorMatchCardinality.OneToMany): "right",
    }.get(str(modifier.card), "")
    on = modifier.matching is not None and modifier.matching.type == syntax.LabelModifierType.Include
    fill = modifier.fill_values
    return Matching(
        on,
        tuple(modifier.matching.labels) if modifier.matching is not None else (),
        many,
        tuple(modifier.group_labels or ()),
        fill.lhs if fill is not None else None,
        fill.rhs if fill is not None else None,
    )


def _negate(tree: Any) -> Node:
    inner = _compile(tree.expr)
    return Number(-inner.value) if isinstance(inner, Number) else Negate(inner)


_COMPILERS: Mapping[type, Callable[[Any], Node]] = MappingProxyType(
    {
        syntax.NumberLiteral: lambda tree: Number(tree.val if not math.isnan(tree.val) else math.nan),
        syntax.StringLiteral: lambda tree: String(tree.val),
        syntax.ParenExpr: lambda tree: _compile(tree.expr),
        syntax.VectorSelector: _selector,
        syntax.MatrixSelector: _range,
        syntax.SubqueryExpr: _subquery,
        syntax.Call: _call,
        syntax.AggregateExpr: _aggregate,
        syntax.BinaryExpr: _binary,
        syntax.UnaryExpr: _negate,
    }
)


def _compile(tree: Any) -> Node:
    return _COMPILERS[type(tree)](tree)


def _steady(node: Node) -> bool:
    """Whether the value is the same at every step."""
    match node:
        case Number() | String():
            return True
        case Selector(at=at):
            return at is not None
        case Range(selector=selector):
            return selector.at is not None
        case Subquery(at=at):
            return at is not None
        case Call(name=name, args=args):
            return name not in _UNSTEADY and all(map(_steady, args))
        case Aggregate(inner=inner, param=param):
            return _steady(inner) and (param is None or _steady(param))
        case Binary(left=left, right=right):
            return _steady(left) and _steady(right)
        case Negate(inner=inner) | Fixed(inner=inner):
            return _steady(inner)


def _fix(node: Node) -> Node:
    """Wrap the largest steady parts that are worth evaluating once."""
    match node:
        case Number() | String() | Range():
            return node
        case Subquery(inner=inner):
            return Subquery(_fix(inner), node.range_ms, node.step_ms, node.offset_ms, node.at)
    if _steady(node):
        return Fixed(node)
    match node:
        case Call(name=name, args=args):
            return Call(name, tuple(_fix(arg) for arg in args))
        case Aggregate(inner=inner, param=param):
            return Aggregate(
                node.op, _fix(inner), None if param is None else _fix(param), node.by, node.labels
            )
        case Binary(left=left, right=right):
            return Binary(node.op, _fix(left), _fix(right), node.matching, node.bool_modifier)
        case Negate(inner=inner):
            return Negate(_fix(inner))
        case _:
            return node

"""From text to our own nodes, by way of promql-parser's checked syntax tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import promql_parser as syntax

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, Matcher, MatchOp
from monitor.metrics.matching import full_match
from monitor.metrics.promql import guard
from monitor.metrics.promql.functions import FUNCTIONS
from monitor.metrics.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Bound,
    Call,
    Fixed,
    Info,
    Matching,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
)
from monitor.metrics.promql.places import Places

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
        "limitk",
        "limit_ratio",
    ]
)
_CALENDAR = frozenset(
    "days_in_month day_of_month day_of_week day_of_year hour minute month year".split()  # noqa: SIM905  a word list
)
_UNSTEADY = _CALENDAR | {"predict_linear", "time", "timestamp"}
_DAY_MS = 86_400_000
_MAX_DURATION_MS = 292 * 365 * _DAY_MS  # what Prometheus's nanoseconds hold
_REFUSED = MappingProxyType({"start_timestamp": "the start times of samples are not kept"})


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """A compiled expression. `kind` is vector, scalar, string or matrix."""

    expression: str
    root: Node
    kind: str


def compile_plan(expression: str, limits: Limits) -> CompiledPlan:
    """Parse and check an expression. Raises QueryError with the reason."""
    places, timeless, tree = _parsed(expression, limits)
    try:
        root = _Compiler(places, timeless.moments).compile(tree)
    except (ValueError, OverflowError):  # the parser works durations out when they are asked for
        raise QueryError('invalid parameter "query": parse error: duration out of range') from None
    return CompiledPlan(expression, _fix(root), kind_of(root))


def _parsed(expression: str, limits: Limits) -> tuple[Places, guard.Timeless, Any]:
    """Where calls stand, the text as the parser got it, and its tree."""
    guard.check(expression, limits)
    places = Places(expression, FUNCTIONS.keys() | AGGREGATIONS | {"info"} | _REFUSED.keys())
    timeless = guard.without_times(_with_marks(expression, places))
    try:
        return places, timeless, syntax.parse(timeless.text)
    except ValueError as error:
        reason = str(error).replace(f'{_MARK}!="",', "")
        raise QueryError(f'invalid parameter "query": parse error: {reason}') from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # The parser gives up on durations beyond its own numbers; its exception is no Exception.
        raise QueryError('invalid parameter "query": parse error: number out of range') from None


def selector_matchers(expression: str, limits: Limits) -> tuple[Matcher, ...]:
    """The label matchers of an expression that must be a plain selector. Raises QueryError."""
    root = compile_plan(expression, limits).root
    if isinstance(root, Selector) and not root.offset_ms:
        return root.matchers
    raise QueryError(f'invalid parameter "match[]": {expression!r} is not a series selector')


def pretty(expression: str, limits: Limits) -> str:
    """The expression with the parser's own line breaks and indentation. Raises QueryError."""
    compile_plan(expression, limits)
    _, timeless, tree = _parsed(expression, limits)
    text: str = re.sub(rf'\b{_MARK}!="",?', "", tree.prettify())
    return timeless.with_times(text)


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
    length = duration.days * _DAY_MS + duration.seconds * 1000 + duration.microseconds // 1000
    if abs(length) > _MAX_DURATION_MS:
        raise OverflowError(length)
    return length


_OPS = MappingProxyType(
    {
        str(syntax.MatchOp.Equal): MatchOp.EQ,
        str(syntax.MatchOp.NotEqual): MatchOp.NE,
        str(syntax.MatchOp.Re): MatchOp.RE,
        str(syntax.MatchOp.NotRe): MatchOp.NRE,
    }
)
_INFO_METRIC = Matcher("__name__", MatchOp.EQ, "target_info")
_MARK = "__info__"
_INFO_METRICS = Matcher("__name__", MatchOp.RE, ".+_info")


class _Compiler:
    """One walk over the parser's tree, in the order of the text."""

    def __init__(self, places: Places, moments: Sequence[int]) -> None:
        self._places = places
        self._moments = moments
        self._compilers: Mapping[type, Callable[[Any], Node]] = {
            syntax.NumberLiteral: lambda tree: Number(tree.val),
            syntax.StringLiteral: lambda tree: String(tree.val),
            syntax.ParenExpr: lambda tree: self.compile(tree.expr),
            syntax.VectorSelector: self._selector,
            syntax.MatrixSelector: self._range,
            syntax.SubqueryExpr: self._subquery,
            syntax.Call: self._call,
            syntax.AggregateExpr: self._aggregate,
            syntax.BinaryExpr: self._binary,
            syntax.UnaryExpr: self._negate,
        }

    def compile(self, tree: Any) -> Node:
        """The node of a tree. Raises QueryError for what we do not support."""
        return self._compilers[type(tree)](tree)

    def _at(self, modifier: Any) -> At:
        if modifier is None:
            return None
        if modifier.type == syntax.AtModifierType.Start:
            return Bound.START
        if modifier.type == syntax.AtModifierType.End:
            return Bound.END
        # The text had the times taken out: what stands there is the number of the time.
        number: float = modifier.at.timestamp()
        return self._moments[round(number)]

    def _selector(self, tree: Any) -> Selector:
        if tree.matchers.or_matchers:
            raise QueryError("`or` between label matchers is not PromQL")
        matchers = [Matcher("__name__", MatchOp.EQ, tree.name)] if tree.name else []
        for item in tree.matchers.matchers:
            op = _OPS[str(item.op)]
            if op in (MatchOp.RE, MatchOp.NRE):
                _check_regex(item.value)
            matchers.append(Matcher(item.name, op, item.value))
        return Selector(tuple(matchers), _milliseconds(tree.offset), self._at(tree.at))

    def _range(self, tree: Any) -> Range:
        return Range(self._selector(tree.vector_selector), _milliseconds(tree.range))

    def _subquery(self, tree: Any) -> Subquery:
        return Subquery(
            self.compile(tree.expr),
            _milliseconds(tree.range),
            _milliseconds(tree.step),
            _milliseconds(tree.offset),
            self._at(tree.at),
        )

    def _call(self, tree: Any) -> Node:
        name = tree.func.name
        found = self._places.take(name)
        if name == "info":
            return self._info(tree)
        if name not in FUNCTIONS:
            reason = _REFUSED.get(name, "unknown here")
            raise QueryError(f"{found.place or 'query'}: function {name} is not supported: {reason}")
        return Call(name, tuple(self.compile(arg) for arg in tree.args), found.place, found.arguments)

    def _info(self, tree: Any) -> Info:
        inner, *rest = (self.compile(arg) for arg in tree.args)
        matchers = rest[0].matchers if rest and isinstance(rest[0], Selector) else ()
        matchers = tuple(item for item in matchers if item.name != _MARK)
        if rest and not isinstance(rest[0], Selector):
            raise QueryError('the second argument of info() must be a label selector: info(v, {data=~".+"})')
        names = [item for item in matchers if item.name == "__name__"]
        if not names:
            names = [_INFO_METRIC]
        elif not any(item.op in (MatchOp.EQ, MatchOp.RE) for item in names):
            names.append(_INFO_METRICS)
        data = tuple(item for item in matchers if item.name != "__name__")
        at, offset_ms = _looks_at(inner)
        return Info(inner, Selector((*names, *data), offset_ms, at), data)

    def _aggregate(self, tree: Any) -> Aggregate:
        op = str(tree.op)
        found = self._places.take(op)
        if op not in AGGREGATIONS:
            raise QueryError(f"{found.place or 'query'}: aggregation {op} is not supported")
        modifier = tree.modifier
        by = modifier is None or modifier.type == syntax.AggModifierType.By
        labels = tuple(modifier.labels) if modifier is not None else ()
        param = None if tree.param is None else self.compile(tree.param)
        place = found.arguments[0] if found.arguments and param is not None else ""
        return Aggregate(op, self.compile(tree.expr), param, by, labels, place)

    def _binary(self, tree: Any) -> Binary:
        modifier = tree.modifier
        matching = Matching() if modifier is None else _matching(modifier)
        return Binary(
            str(tree.op).lower(),
            self.compile(tree.lhs),
            self.compile(tree.rhs),
            matching,
            modifier is not None and bool(modifier.return_bool),
        )

    def _negate(self, tree: Any) -> Node:
        inner = self.compile(tree.expr)
        return Number(-inner.value) if isinstance(inner, Number) else Negate(inner)


def _with_marks(expression: str, places: Places) -> str:
    """The expression with a matcher more in the label selectors of info(): unlike others these may match anything,
    but the parser would refuse them.
    """
    for offset in sorted(places.offsets_of("info", 1), reverse=True):
        if expression[offset] == "{":
            expression = f'{expression[: offset + 1]}{_MARK}!="",{expression[offset + 1 :]}'
    return expression


def _looks_at(node: Node) -> tuple[At, int]:
    """At which time the first selector of an expression looks: its `@`, if any, and the offset to that."""
    match node:
        case Selector(at=at, offset_ms=offset_ms):
            return at, offset_ms
        case Range(selector=selector):
            return selector.at, selector.offset_ms
        case Subquery(inner=inner):
            at, offset_ms = _looks_at(inner)
            return (at, offset_ms) if at is not None else (node.at, offset_ms + node.offset_ms)
        case Call(args=args):
            vectors = [arg for arg in args if kind_of(arg) in ("vector", "matrix")]
            return _looks_at(vectors[0]) if vectors else (None, 0)
        case Aggregate(inner=inner) | Negate(inner=inner) | Fixed(inner=inner) | Info(inner=inner):
            return _looks_at(inner)
        case Binary(left=left, right=right):
            return _looks_at(left if kind_of(left) == "vector" else right)
        case _:
            return None, 0


def _check_regex(pattern: str) -> None:
    try:
        full_match(pattern)
    except ValueError as error:
        raise QueryError(f"invalid regular expression {pattern[:80]!r}: {error}") from None


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
        case Info(inner=inner, source=source):
            return _steady(inner) and source.at is not None
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
        case Call(args=args):
            return replace(node, args=tuple(_fix(arg) for arg in args))
        case Info(inner=inner):
            return replace(node, inner=_fix(inner))
        case Aggregate(inner=inner, param=param):
            return replace(node, inner=_fix(inner), param=None if param is None else _fix(param))
        case Binary(left=left, right=right):
            return Binary(node.op, _fix(left), _fix(right), node.matching, node.bool_modifier)
        case Negate(inner=inner):
            return Negate(_fix(inner))
        case _:
            return node

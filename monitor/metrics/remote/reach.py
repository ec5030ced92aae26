"""How far back an expression looks, so that one knows who can answer it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.metrics.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Bound,
    Call,
    Fixed,
    Info,
    Negate,
    Node,
    Range,
    Selector,
    Subquery,
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What an expression looks at: `back_ms` before the time it is evaluated at, and `since_ms` at the earliest by
    `@`; None where it does not look at such times at all. `whole`: it names the start or end of the whole range, so
    its steps cannot be evaluated apart.
    """

    back_ms: int | None
    since_ms: int | None
    whole: bool

    def oldest_ms(self, at_ms: int) -> int | None:
        """The oldest time that matters for an evaluation, None when no sample does."""
        relative = None if self.back_ms is None else at_ms - self.back_ms
        found = [time for time in (relative, self.since_ms) if time is not None]
        return min(found, default=None)


@dataclass(frozen=True, slots=True)
class _Look:
    """One selector: so far back from the time of evaluation, or from a fixed time."""

    back_ms: int
    from_ms: int | None


@dataclass(frozen=True, slots=True)
class _Context:
    start_ms: int
    end_ms: int
    lookback_ms: int

    def moved(self, look: _Look, at: At, back_ms: int) -> _Look:
        """Where one looks from inside of a modifier or a range."""
        if at is None:
            return _Look(look.back_ms + back_ms, look.from_ms)
        times = {Bound.START: self.start_ms, Bound.END: self.end_ms}
        return _Look(back_ms, times[at] if isinstance(at, Bound) else at)

    def looks(self, node: Node, look: _Look) -> Iterator[_Look]:
        match node:
            case Selector(offset_ms=offset, at=at):
                yield self.moved(look, at, offset + self.lookback_ms)
            case Range(selector=selector, range_ms=length):
                yield self.moved(look, selector.at, selector.offset_ms + length)
            case Subquery(inner=inner, range_ms=length, offset_ms=offset, at=at):
                yield from self.looks(inner, self.moved(look, at, offset + length))
            case _:
                for inner in children(node):
                    yield from self.looks(inner, look)


def reach(node: Node, start_ms: int, end_ms: int, lookback_ms: int) -> Reach:
    """The reach of an expression that is evaluated from start to end."""
    looks = list(_Context(start_ms, end_ms, lookback_ms).looks(node, _Look(0, None)))
    relative = [look.back_ms for look in looks if look.from_ms is None]
    fixed = [look.from_ms - look.back_ms for look in looks if look.from_ms is not None]
    return Reach(max(relative, default=None), min(fixed, default=None), _names_bounds(node))


def children(node: Node) -> tuple[Node, ...]:
    """The expressions directly inside of one."""
    match node:
        case Call(args=args):
            return args
        case Aggregate(inner=inner, param=param):
            return (inner,) if param is None else (inner, param)
        case Binary(left=left, right=right):
            return left, right
        case Info(inner=inner, source=source):
            return inner, source
        case Negate(inner=inner) | Fixed(inner=inner) | Subquery(inner=inner):
            return (inner,)
        case Range(selector=selector):
            return (selector,)
        case _:
            return ()


def _names_bounds(node: Node) -> bool:
    if isinstance(node, Selector | Subquery) and isinstance(node.at, Bound):
        return True
    return any(_names_bounds(inner) for inner in children(node))

"""The nodes of a compiled expression. All times and durations are int milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from monitor.metrics.interface import Matcher


class Bound(StrEnum):
    """`@ start()` and `@ end()`."""

    START = "start"
    END = "end"


At = int | Bound | None


@dataclass(frozen=True, slots=True)
class Number:
    """A number literal."""

    value: float


@dataclass(frozen=True, slots=True)
class String:
    """A string literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Range:
    """A range vector selector: the samples in (t - range, t]."""

    selector: Selector
    range_ms: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expression[range:step]`; `step_ms` 0 stands for the default step."""

    inner: Node
    range_ms: int
    step_ms: int
    offset_ms: int = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function call.

    `place` and `arg_places` say where it and its arguments stand in the text, as "line:column", or are empty.
    """

    name: str
    args: tuple[Node, ...]
    place: str = field(default="", compare=False)
    arg_places: tuple[str, ...] = field(default=(), compare=False)

    def place_of(self, argument: int) -> str:
        """Where an argument stands in the text."""
        return self.arg_places[argument] if argument < len(self.arg_places) else ""


@dataclass(frozen=True, slots=True)
class Info:
    """`info(inner, {data label matchers})`: `source` selects the info series, at the time `inner` looks at.

    `data` are the matchers of labels to take over; none stands for all labels.
    """

    inner: Node
    source: Selector
    data: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; `by` False means `without` the labels. `param_place` is "line:column" in the text, or empty."""

    op: str
    inner: Node
    param: Node | None
    by: bool
    labels: tuple[str, ...]
    param_place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Matching:
    """How two vectors pair up. `many` is "left" for group_left, "right" for group_right, else empty."""

    on: bool = False
    labels: tuple[str, ...] = ()
    many: str = ""
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation; `matching` matters only between two vectors."""

    op: str
    left: Node
    right: Node
    matching: Matching
    bool_modifier: bool = False


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Fixed:
    """A part whose value does not depend on the step (`@`): evaluated once and spread over the steps."""

    inner: Node


Node = Number | String | Selector | Range | Subquery | Call | Info | Aggregate | Binary | Negate | Fixed

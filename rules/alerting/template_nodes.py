"""The tree of a parsed template, as Go's text/template/parse has it; `str(node)` is how Go quotes it in errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rules.alerting.go_format import go_quote
from rules.alerting.template_values import Value


@dataclass(frozen=True, slots=True)
class Text:
    """Text outside actions."""

    text: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or nil. `kind`: string, number, bool, nil."""

    at: int
    source: str
    kind: str
    value: Value

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True)
class Word:
    """The name of a function."""

    at: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Dot:
    """The value that stands at the cursor, with the fields taken of it: `.`, `.Labels.device`."""

    at: int
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.fields) or "."


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name.field`; `name` begins with $."""

    at: int
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.fields))


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of a parenthesised pipeline or a function without arguments."""

    at: int
    term: Pipe | Word
    fields: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.term})" if isinstance(self.term, Pipe) else str(self.term)
        return inner + "".join(f".{name}" for name in self.fields)


@dataclass(frozen=True, slots=True)
class Command:
    """A function and its arguments, or a single operand."""

    at: int
    args: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands joined by |. `targets` are the variables it sets, new ones when `declares`."""

    at: int
    commands: tuple[Command, ...]
    targets: tuple[str, ...] = ()
    declares: bool = True

    def __str__(self) -> str:
        head = ", ".join(self.targets)
        if head:
            head += " := " if self.declares else " = "
        return head + " | ".join(str(command) for command in self.commands)


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it sets a variable."""

    at: int
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """if, with or range: its pipeline, body and else part."""

    at: int
    word: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """break or continue."""

    at: int
    word: str


@dataclass(frozen=True, slots=True)
class Include:
    """{{template "name" pipeline}}."""

    at: int
    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {go_quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


Operand = Literal | Word | Dot | Variable | Chain | Pipe
Node = Text | Action | Branch | Leave | Include


@dataclass(slots=True)
class Tree:
    """Everything one source defines: its own nodes and the named templates in it."""

    nodes: tuple[Node, ...] = ()
    named: dict[str, tuple[Node, ...]] = field(default_factory=dict)


_FIXED = frozenset({"Labels", "ExternalLabels", "ExternalURL"})
_OUTSIDE = frozenset({"query", "now"})


def by_labels(nodes: Sequence[Node]) -> bool:
    """Whether the text surely depends on labels only, not on the value or a query; in doubt it does not."""
    for node in nodes:
        if isinstance(node, Include):
            return False
        if isinstance(node, Action | Branch) and not _fixed(node.pipe):
            return False
        if isinstance(node, Branch) and not (by_labels(node.body) and by_labels(node.otherwise)):
            return False
    return True


def asks(nodes: Sequence[Node]) -> bool:
    """Whether the text may depend on more than the alert and its value: on a query, the clock or another template."""
    for node in nodes:
        if isinstance(node, Include):
            return True
        if isinstance(node, Action | Branch) and _asking(node.pipe):
            return True
        if isinstance(node, Branch) and (asks(node.body) or asks(node.otherwise)):
            return True
    return False


def _asking(operand: Operand) -> bool:
    if isinstance(operand, Pipe):
        return any(_asking(arg) for command in operand.commands for arg in command.args)
    if isinstance(operand, Chain):
        return _asking(operand.term)
    return isinstance(operand, Word) and operand.name in _OUTSIDE


def _fixed(operand: Operand) -> bool:
    if isinstance(operand, Pipe):
        return all(_fixed(arg) for command in operand.commands for arg in command.args)
    if isinstance(operand, Chain):
        return _fixed(operand.term)
    if isinstance(operand, Word):
        return operand.name not in _OUTSIDE
    if isinstance(operand, Dot):
        return bool(operand.fields) and operand.fields[0] in _FIXED
    if isinstance(operand, Variable):
        if operand.name == "$":
            return bool(operand.fields) and operand.fields[0] in _FIXED
        return operand.name != "$value"
    return True

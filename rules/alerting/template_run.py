"""Expands the tree of a template, as Go's text/template/exec does, errors with their place included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rules.alerting.errors import TemplateError
from rules.alerting.go_format import go_text
from rules.alerting.template_functions import FUNCTIONS, World, compatible, truth
from rules.alerting.template_nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Include,
    Leave,
    Literal,
    Node,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
    Word,
)
from rules.alerting.template_values import AlertData, ArgMap, CallError, Moment, SampleValue, Value, go_type

_MAX_INCLUDES = 50
_MAX_CHARS = 1 << 20

Variables = list[tuple[str, Value]]
_Located = Operand | Command | Include
_OPERANDS = (Literal, Word, Dot, Variable, Chain, Pipe)


class _NoValue:
    """Stands for `no final argument`; nil is a value."""


_NOTHING = _NoValue()


class _Left(Exception):  # noqa: N818 - control flow: a break or continue on its way to its range
    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(word)


class Run:
    """One expansion."""

    def __init__(self, name: str, source: str, tree: Tree, world: World) -> None:
        self._name = name
        self._source = source
        self._tree = tree
        self._world = world
        self._out: list[str] = []
        self._length = 0
        self._variables: Variables = []
        self._here: _Located | None = None
        self._template = name
        self._depth = 0

    def text(self, dot: Value, variables: Variables) -> str:
        """The whole text. Raises TemplateError."""
        self._variables = variables
        self._walk(self._tree.nodes, dot)
        return "".join(self._out)

    def _fault(self, message: str) -> TemplateError:
        here = self._here
        if here is None:
            return TemplateError(
                f"error executing template {self._name}: template: {self._template}: {message}"
            )
        before = self._source[: here.at]
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode())
        place = f"{self._name}:{line}:{column}"
        quoted = f'executing "{self._template}" at <{here}>'
        return TemplateError(f"error executing template {self._name}: template: {place}: {quoted}: {message}")

    def _print(self, text: str) -> None:
        self._out.append(text)
        self._length += len(text)
        if self._length > _MAX_CHARS:
            raise TemplateError(f"error executing template {self._name}: longer than {_MAX_CHARS} characters")

    # Statements.

    def _walk(self, nodes: Sequence[Node], dot: Value) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._print(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe, dot)
                if not node.pipe.targets:
                    self._print("<no value>" if value is None else _printed(value))
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Include):
                self._include(node, dot)
            elif isinstance(node, Leave):
                raise _Left(node.word)

    def _branch(self, node: Branch, dot: Value) -> None:
        mark = len(self._variables)
        if node.word == "range":
            self._range(node, dot)
        else:
            value = self._pipe(node.pipe, dot)
            if truth(value):
                self._walk(node.body, value if node.word == "with" else dot)
            else:
                self._walk(node.otherwise, dot)
        del self._variables[mark:]

    def _range(self, node: Branch, dot: Value) -> None:
        items = self._pipe(node.pipe, dot)
        pairs: list[tuple[Value, Value]] = []
        if isinstance(items, Mapping):
            pairs = [(key, items[key]) for key in sorted(items)]
        elif items is not None and not isinstance(
            items, str | Moment | SampleValue | AlertData | float | int
        ):
            pairs = list(enumerate(items))
        elif items is not None:
            raise self._fault(f"range can't iterate over {go_text(items)}")
        mark = len(self._variables)
        names = node.pipe.targets
        for key, value in pairs:
            if names:
                self._set(names[-1], value)
            if len(names) == 2:
                self._set(names[0], key)
            try:
                self._walk(node.body, value)
            except _Left as left:
                if left.word == "break":
                    break
            finally:
                del self._variables[mark:]
        if not pairs:
            self._walk(node.otherwise, dot)

    def _include(self, node: Include, dot: Value) -> None:
        self._here = node
        body = self._tree.named.get(node.name)
        if body is None:
            raise self._fault(f'template "{node.name}" not defined')
        if self._depth >= _MAX_INCLUDES:
            raise self._fault("exceeded maximum template depth")
        value = self._pipe(node.pipe, dot) if node.pipe else None
        outer = self._variables, self._template
        self._variables, self._template = [("$", value)], node.name
        self._depth += 1
        self._walk(body, value)
        self._depth -= 1
        self._variables, self._template = outer

    # Pipelines.

    def _set(self, name: str, value: Value) -> None:
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return

    def _pipe(self, pipe: Pipe, dot: Value) -> Value:
        self._here = pipe
        final: Value | _NoValue = _NOTHING
        for command in pipe.commands:
            final = self._command(command, dot, final)
        assert not isinstance(final, _NoValue)  # a pipeline has at least one command
        for name in pipe.targets:
            if pipe.declares:
                self._variables.append((name, final))
            else:
                self._set(name, final)
        return final

    def _command(self, command: Command, dot: Value, final: Value | _NoValue) -> Value:
        head = command.args[0]
        alone = len(command.args) == 1 and isinstance(final, _NoValue)
        if isinstance(head, Word):
            return self._call(head, command, command.args[1:], dot, final)
        if isinstance(head, Dot | Variable | Chain) and head.fields:
            return self._fields(head, dot, () if alone else (*command.args[1:], final))
        self._here = self._here if isinstance(head, Pipe) else head
        if not alone:
            raise self._fault(f"can't give argument to non-function {head}")
        if isinstance(head, Literal) and head.kind == "nil":
            raise self._fault("nil is not a command")
        return self._value(head, dot)

    def _value(self, operand: Operand, dot: Value) -> Value:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Pipe):
            return self._pipe(operand, dot)
        if isinstance(operand, Word):
            return self._call(operand, operand, (), dot, _NOTHING)
        return self._fields(operand, dot, ()) if operand.fields else self._root(operand, dot)

    def _root(self, operand: Dot | Variable | Chain, dot: Value) -> Value:
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Chain):
            return self._value(operand.term, dot)
        for name, value in reversed(self._variables):
            if name == operand.name:
                return value
        raise self._fault(f"undefined variable: {operand.name}")

    def _fields(
        self, operand: Dot | Variable | Chain, dot: Value, args: Sequence[Operand | Value | _NoValue]
    ) -> Value:
        """Fields one after the other; `args` are those of a method at the end, the piped value last."""
        self._here = operand
        value = self._root(operand, dot)
        self._here = self._here if isinstance(operand, Chain) else operand
        for name in operand.fields[:-1]:
            value = self._field(value, name)
        name = operand.fields[-1]
        if isinstance(value, Moment):
            return self._method(value, name, args, dot)
        if args:
            raise self._fault(_arguments(value, name))
        return self._field(value, name)

    def _method(
        self, moment: Moment, name: str, args: Sequence[Operand | Value | _NoValue], dot: Value
    ) -> Value:
        """The methods of a time that alert texts use: Format and Unix."""
        given = [
            self._value(arg, dot) if isinstance(arg, _OPERANDS) else arg
            for arg in args
            if arg is not _NOTHING
        ]
        if name == "Unix" and not given:
            return int(moment.at.timestamp())
        if name == "Format" and len(given) == 1 and isinstance(given[0], str):
            return moment.format(given[0])
        raise self._fault(f"can't evaluate field {name} in type *time.Time")

    def _field(self, value: Value, name: str) -> Value:
        if isinstance(value, AlertData | SampleValue):
            if name in type(value).__slots__:
                found: Value = getattr(value, name)
                return found
        elif isinstance(value, ArgMap):
            return value.get(name)
        elif isinstance(value, Mapping):
            return value.get(name, "")
        elif value is None:
            raise self._fault(f"nil pointer evaluating interface {{}}.{name}")
        raise self._fault(f"can't evaluate field {name} in type {go_type(value)}")

    def _call(
        self, word: Word, node: Command | Word, args: Sequence[Operand], dot: Value, final: Value | _NoValue
    ) -> Value:
        self._here = word
        function = FUNCTIONS[word.name]
        count = len(args) + (not isinstance(final, _NoValue))
        fixed = len(function.params)
        if function.rest is None and count != fixed:
            raise self._fault(f"wrong number of args for {word.name}: want {fixed} got {count}")
        if function.rest is not None and count < fixed:
            raise self._fault(f"wrong number of args for {word.name}: want at least {fixed} got {count}")
        kinds = [*function.params, *([function.rest or "any"] * (count - fixed))]
        if word.name in {"and", "or"}:
            return self._either(word.name == "or", args, dot, final)
        given = [self._argument(arg, kind, dot) for arg, kind in zip(args, kinds, strict=False)]
        if not isinstance(final, _NoValue):
            self._check(final, kinds[count - 1])
            given.append(final)
        try:
            return function.call(self._world, *given)
        except CallError as error:
            self._here = node
            raise self._fault(f"error calling {word.name}: {error}") from None
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            self._here = node
            raise self._fault(f"error calling {word.name}: {error}") from error

    def _either(self, stop: bool, args: Sequence[Operand], dot: Value, final: Value | _NoValue) -> Value:
        """and, or: arguments are evaluated only as far as needed."""
        value: Value = None
        for arg in args:
            value = self._argument(arg, "any", dot)
            if truth(value) is stop:
                return value
        return value if isinstance(final, _NoValue) else final

    def _argument(self, operand: Operand, kind: str, dot: Value) -> Value:
        self._here = operand
        if isinstance(operand, Literal):
            literal = {"string": "string", "float": "number"}.get(kind)
            if operand.kind == "nil":
                if kind in {"string", "float"}:
                    raise self._fault(f"cannot assign nil to {kind}")
                return None
            if literal is not None and operand.kind != literal:
                raise self._fault(f"expected {kind}; found {operand}")
            if literal is None and kind != "any":
                raise self._fault(f"can't handle {operand} for arg of type {kind}")
            return operand.value
        value = self._value(operand, dot)
        self._check(value, kind)
        return value

    def _check(self, value: Value, kind: str) -> None:
        if kind == "any":
            return
        if value is None:
            raise self._fault(f"invalid value; expected {kind}")
        if not compatible(value, kind):
            raise self._fault(f"wrong type for value; expected {kind}; got {go_type(value)}")


def _arguments(value: Value, name: str) -> str:
    if isinstance(value, Mapping):
        return f"{name} is not a method but has arguments"
    if isinstance(value, AlertData | SampleValue) and name in type(value).__slots__:
        return f"{name} has arguments but cannot be invoked as function"
    return f"can't evaluate field {name} in type {go_type(value)}"


def _printed(value: Value) -> str:
    if isinstance(value, SampleValue):
        return f"{{{go_text(value.Labels)} {go_text(value.Value)}}}"
    return go_text(value)

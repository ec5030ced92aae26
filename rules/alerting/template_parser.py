"""Tokens to the tree of a template; refuses what Go's text/template refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from rules.alerting.errors import TemplateError
from rules.alerting.template_lexer import Token, tokens
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
from rules.alerting.template_values import Value

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))", re.DOTALL
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MAX_DEPTH = 32
_ENDS = frozenset({"end", "else"})
_CONTROL = frozenset({"if", "with", "range"})
_CONSTANTS: dict[str, Value] = {"true": True, "false": False}


def unquote(text: str) -> str:
    """The value of a quoted Go string. Raises TemplateError."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")

    def one(match: re.Match[str]) -> str:
        simple, two, four, eight, octal, wrong = match.groups()
        if simple:
            return _ESCAPES.get(simple, simple)
        if wrong is not None:
            raise TemplateError("invalid syntax in a quoted string")
        code = int(octal, 8) if octal else int(two or four or eight, 16)
        if code > 0x10FFFF:
            raise TemplateError("invalid syntax in a quoted string")
        return chr(code)

    return _ESCAPE.sub(one, text[1:-1])


def parse(source: str, known: Callable[[str], bool]) -> Tree:
    """The tree of a source; `known` says whether a function exists. Raises TemplateError."""
    parser = _Parser(source, known)
    parser.tree.nodes = parser.everything()
    return parser.tree


class _Parser:
    def __init__(self, source: str, known: Callable[[str], bool]) -> None:
        self._tokens = list(tokens(source))
        self._source = source
        self._known = known
        self._at = 0
        self._variables = ["$"]
        self._ranges = 0
        self.tree = Tree()

    # Reading tokens.

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _skip(self) -> Token:
        """The next token that is not space, not consumed."""
        while self._peek().kind == "space":
            self._at += 1
        return self._peek()

    def _take(self, kind: str, context: str) -> Token:
        token = self._skip()
        if token.kind != kind:
            raise self._unexpected(token, context)
        return self._next()

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        line = self._source.count("\n", 0, token.at) + 1
        shown = {"end": "EOF", "right": '"}}"'}.get(token.kind, f"{token.text!r}")
        return TemplateError(f"unexpected {shown} in {context} (line {line})")

    # Nodes.

    def everything(self) -> tuple[Node, ...]:
        """All nodes up to the end of the source."""
        nodes, ended = self._nodes(0, top=True)
        if ended:
            raise TemplateError(f"unexpected {{{{{ended}}}}}")
        return nodes

    def _nodes(self, depth: int, *, top: bool = False) -> tuple[tuple[Node, ...], str]:
        """Nodes up to end or else (consumed up to that word), which is returned; '' at the end of the source."""
        if depth > _MAX_DEPTH:
            raise TemplateError("template is nested too deeply")
        found: list[Node] = []
        while True:
            token = self._next()
            if token.kind == "end":
                if depth:
                    raise TemplateError("unexpected EOF")
                return tuple(found), ""
            if token.kind == "text":
                found.append(Text(token.text, token.at))
                continue
            word = self._skip()
            if word.kind == "word" and word.text in _ENDS:
                self._next()
                if word.text == "end":
                    self._take("right", "end")
                return tuple(found), word.text
            node = self._action(token, word, depth, top=top)
            if node is not None:
                found.append(node)

    def _action(self, left: Token, word: Token, depth: int, *, top: bool) -> Node | None:
        if word.kind == "word":
            if word.text in _CONTROL:
                self._next()
                return self._branch(word, depth)
            if word.text in {"break", "continue"}:
                self._next()
                self._take("right", word.text)
                if not self._ranges:
                    raise TemplateError(f"{{{{{word.text}}}}} outside {{{{range}}}}")
                return Leave(word.at, word.text)
            if word.text == "template":
                self._next()
                return self._include()
            if word.text in {"define", "block"}:
                self._next()
                return self._definition(word, depth, top=top)
        return Action(left.at, self._pipe("command", "right"))

    def _branch(self, word: Token, depth: int) -> Branch:
        known = len(self._variables)
        pipe = self._pipe(word.text, "right")
        self._ranges += word.text == "range"
        body, ended = self._nodes(depth + 1)
        self._ranges -= word.text == "range"
        otherwise: tuple[Node, ...] = ()
        if ended == "else":
            again = self._skip()
            if again.kind == "word" and again.text in {"if", "with"} and word.text == again.text:
                self._next()
                otherwise = (self._branch(again, depth + 1),)
            else:
                self._take("right", "else")
                otherwise, ended = self._nodes(depth + 1)
                if ended != "end":
                    raise TemplateError("expected end; found {{else}}")
        del self._variables[known:]
        return Branch(word.at, word.text, pipe, body, otherwise)

    def _include(self) -> Include:
        name = self._name("template clause")
        pipe = None
        if self._skip().kind == "right":
            self._next()
        else:
            pipe = self._pipe("template clause", "right")
        return Include(name.at, unquote(name.text), pipe)

    def _name(self, context: str) -> Token:
        token = self._skip()
        if token.kind not in {"string", "raw"}:
            raise self._unexpected(token, context)
        return self._next()

    def _definition(self, word: Token, depth: int, *, top: bool) -> Include | None:
        """define or block: the body becomes a named template; a block is also included where it stands."""
        if word.text == "define" and not top:
            raise TemplateError("unexpected {{define}}")
        name = self._name(f"{word.text} clause")
        pipe = self._pipe("block clause", "right") if word.text == "block" else None
        if word.text == "define":
            self._take("right", "define clause")
        outer, self._variables = self._variables, ["$"]
        ranges, self._ranges = self._ranges, 0
        body, ended = self._nodes(depth + 1)
        self._variables, self._ranges = outer, ranges
        if ended != "end":
            raise TemplateError(f"unexpected {{{{else}}}} in {word.text} clause")
        key = unquote(name.text)
        if key in self.tree.named:
            raise TemplateError(f"template: multiple definition of template {name.text}")
        self.tree.named[key] = body
        return None if pipe is None else Include(name.at, key, pipe)

    # Pipelines.

    def _pipe(self, context: str, closing: str, depth: int = 0) -> Pipe:
        if depth > _MAX_DEPTH:
            raise TemplateError("template is nested too deeply")
        at = self._skip().at
        targets, declares = self._targets(context)
        commands: list[Command] = []
        while True:
            token = self._skip()
            if token.kind == closing:
                self._next()
                break
            if token.kind in {"end", "right", "close", "pipe", "declare", "assign", "other"}:
                raise self._unexpected(token, context)
            commands.append(self._command(depth))
        if not commands:
            raise TemplateError(f"missing value for {context}")
        for place, command in enumerate(commands[1:], 2):
            head = command.args[0]
            if isinstance(head, Literal) or (isinstance(head, Dot) and not head.fields):
                raise TemplateError(f"non executable command in pipeline stage {place}")
        return Pipe(at, tuple(commands), targets, declares)

    def _targets(self, context: str) -> tuple[tuple[str, ...], bool]:
        """The variables before := or =, if that is how the pipeline begins."""
        mark, names = self._at, []
        while self._skip().kind == "variable":
            names.append(self._next().text)
            sign = self._skip()
            if sign.kind in {"declare", "assign"}:
                self._next()
                if sign.kind == "assign":
                    for name in names:
                        self._defined(name)
                else:
                    self._variables += names
                return tuple(names), sign.kind == "declare"
            if not (sign.text == "," and context == "range" and len(names) == 1):
                break
            self._next()
        self._at = mark
        return (), True

    def _defined(self, name: str) -> None:
        if name not in self._variables:
            raise TemplateError(f'undefined variable "{name}"')

    def _command(self, depth: int) -> Command:
        at = self._skip().at
        args: list[Operand] = []
        while True:
            self._skip()
            operand = self._operand(depth)
            if operand is not None:
                args.append(operand)
            token = self._peek()
            if token.kind == "space":
                self._next()
                continue
            if token.kind in {"right", "close"}:
                break
            if token.kind == "pipe":
                self._next()
                break
            raise self._unexpected(token, "operand")
        if not args:
            raise TemplateError("empty command")
        return Command(at, tuple(args))

    def _operand(self, depth: int) -> Operand | None:
        term = self._term(depth)
        if term is None or self._peek().kind != "field":
            return term
        at, fields = self._peek().at, []
        while self._peek().kind == "field":
            fields.append(self._next().text[1:])
        if isinstance(term, Dot):
            if not term.fields:
                raise TemplateError('unexpected . after term "."')
            return Dot(at, (*term.fields, *fields))
        if isinstance(term, Variable):
            return Variable(at, term.name, tuple(fields))
        if isinstance(term, Pipe | Word):
            return Chain(at, term, tuple(fields))
        raise TemplateError(f'unexpected . after term "{term}"')

    def _term(self, depth: int) -> Operand | None:
        token = self._peek()
        kind, text, at = token.kind, token.text, token.at
        if kind in {"right", "close", "pipe", "space", "end", "other", "assign", "declare"}:
            return None
        self._next()
        if kind == "open":
            return self._pipe("parenthesized pipeline", "close", depth + 1)
        if kind == "dot":
            return Dot(at)
        if kind == "field":
            return Dot(at, (text[1:],))
        if kind == "variable":
            self._defined(text)
            return Variable(at, text)
        if kind == "word":
            return self._word(token)
        if kind in {"string", "raw"}:
            return Literal(at, text, "string", unquote(text))
        return Literal(at, text, "number", _number(text, kind))

    def _word(self, token: Token) -> Operand:
        if token.text in _CONSTANTS:
            return Literal(token.at, token.text, "bool", _CONSTANTS[token.text])
        if token.text == "nil":
            return Literal(token.at, "nil", "nil", None)
        if not self._known(token.text):
            raise TemplateError(f'function "{token.text}" not defined')
        return Word(token.at, token.text)


def _number(text: str, kind: str) -> int | float:
    if kind == "char":
        value = unquote(f'"{text[1:-1]}"')
        if len(value) != 1:
            raise TemplateError(f"malformed character constant: {text}")
        return ord(value)
    try:
        if not re.match(r"[+-]?0[xXbBoO]", text) and any(sign in text for sign in ".eE"):
            number = float(text)
            if math.isinf(number):
                raise ValueError(text)
            return number
        digits = text.lstrip("+-")
        whole = int(digits, 8) if re.fullmatch(r"0[0-7_]+", digits) else int(digits, 0)
    except ValueError:
        raise TemplateError(f"bad number syntax: {text!r}") from None
    if whole >= 1 << 63:
        raise TemplateError(f"integer overflow: {text!r}")
    return -whole if text.startswith("-") else whole

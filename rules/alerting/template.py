"""The subset of Go's text/template that rule files use, expanding to plain text.

Actions: {{ pipeline }}, if / else if / else / end, with, range, variables, comments, trim markers. Names:
`$labels`, `$value`, `$externalLabels`, `$externalURL`, `.Labels`, `.Value`. A missing label is the empty string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rules.alerting.errors import TemplateError
from rules.alerting.template_functions import FUNCTIONS, Value, go_text, truth

_ACTION = re.compile(
    r"\{\{(-(?=\s))?(\s*/\*.*?\*/\s*|(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|[^\"`])*?)((?<=\s)-)?\}\}", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
    |(?P<variable>\$\w*)|(?P<field>\.\w+)|(?P<dot>\.)|(?P<word>\w+)|(?P<sign>:=|=|[|(),]))""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "r": "\r", "'": "'"}
_MAX_CHARS = 16_384
_MAX_DEPTH = 32

QueryFunction = Callable[[str], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class _Term:
    """An operand: a literal, variable, dot, function word or parenthesised pipeline, and the fields taken of it."""

    kind: str
    value: Value | _Pipeline
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """Commands joined by |; each command is a list of terms. `target` is the variable it assigns."""

    commands: tuple[tuple[_Term, ...], ...]
    target: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """if, with or range: its pipeline, body and else part."""

    word: str
    pipeline: _Pipeline
    body: tuple[_Node, ...]
    otherwise: tuple[_Node, ...]


_Node = str | _Pipeline | _Block


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template."""

    source: str
    nodes: tuple[_Node, ...]

    @property
    def constant(self) -> bool:
        """Whether it has no action, so that it always expands to the same text."""
        return all(isinstance(node, str) for node in self.nodes)


def parse_template(source: str) -> Template:
    """Parse; raises TemplateError."""
    if len(source) > _MAX_CHARS:
        raise TemplateError(f"template is longer than {_MAX_CHARS} characters")
    if "{{" not in source:
        return Template(source, (source,) if source else ())
    parser = _Parser(_split(source))
    nodes, _ = parser.nodes(depth=0)
    return Template(source, nodes)


def _split(source: str) -> list[tuple[bool, str]]:
    """(is action, text) parts, trim markers applied, comments dropped."""
    parts: list[tuple[bool, str]] = []
    position = 0
    trim_next = False
    while True:
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        if trim_next:
            text = text.lstrip()
        match = _ACTION.match(source, start) if start >= 0 else None
        if match is not None and match[1]:
            text = text.rstrip()
        if text:
            parts.append((False, text))
        if start < 0:
            return parts
        if match is None:
            raise TemplateError("unclosed action")
        inner = match[2].strip()
        if not inner.startswith("/*"):
            parts.append((True, inner))
        trim_next = bool(match[3])
        position = match.end()


class _Parser:
    """Parts to nodes."""

    def __init__(self, parts: Sequence[tuple[bool, str]]) -> None:
        self._parts = list(parts)
        self._at = 0
        self._variables = ["$", "$labels", "$value", "$externalLabels", "$externalURL"]

    def nodes(self, depth: int) -> tuple[tuple[_Node, ...], str]:
        """Nodes up to `end` or `else`, and the action that ended them ('' at the end of the text)."""
        if depth > _MAX_DEPTH:
            raise TemplateError("template is nested too deeply")
        found: list[_Node] = []
        while self._at < len(self._parts):
            action, text = self._parts[self._at]
            self._at += 1
            if not action:
                found.append(text)
                continue
            word, _, rest = text.partition(" ")
            if word in {"end", "else"}:
                if depth == 0:
                    raise TemplateError(f"unexpected {{{{{word}}}}}")
                return tuple(found), text
            if word in {"if", "with", "range"}:
                found.append(self._block(word, rest, depth))
            else:
                found.append(self.pipeline(text))
        if depth:
            raise TemplateError("unexpected EOF: a block has no {{end}}")
        return tuple(found), ""

    def _block(self, word: str, rest: str, depth: int) -> _Block:
        known = len(self._variables)
        pipeline = self.pipeline(rest)
        body, ended = self.nodes(depth + 1)
        otherwise: tuple[_Node, ...] = ()
        if ended.startswith("else"):
            again, _, condition = ended[4:].strip().partition(" ")
            if again:
                if again not in {"if", "with"}:
                    raise TemplateError(f"unexpected {again!r} after else")
                otherwise = (self._block(again, condition, depth + 1),)
            else:
                otherwise, ended = self.nodes(depth + 1)
                if ended != "end":
                    raise TemplateError("expected {{end}} after {{else}}")
        del self._variables[known:]
        return _Block(word, pipeline, body, otherwise)

    def pipeline(self, text: str) -> _Pipeline:
        """Parse the inside of one action."""
        tokens = _tokens(text)
        target: list[str] = []
        position = next((i for i, (_, t) in enumerate(tokens) if t in {":=", "="}), -1)
        if position >= 0 and tokens[position][0] == "sign":
            target = [t for kind, t in tokens[:position] if kind == "variable"]
            self._variables += target
            tokens = tokens[position + 1 :]
        result, rest = self._commands(tokens, 0)
        if rest < len(tokens):
            raise TemplateError(f"unexpected {tokens[rest][1]!r} in {text!r}")
        return _Pipeline(result.commands, tuple(target))

    def _commands(self, tokens: Sequence[tuple[str, str]], at: int, depth: int = 0) -> tuple[_Pipeline, int]:
        if depth > _MAX_DEPTH:
            raise TemplateError("template is nested too deeply")
        commands: list[tuple[_Term, ...]] = []
        terms: list[_Term] = []
        while at < len(tokens) and tokens[at][1] != ")":
            kind, text = tokens[at]
            at += 1
            if (kind, text) == ("sign", "|"):
                commands.append(_checked(terms))
                terms = []
                continue
            term, at = self._term(tokens, kind, text, at, depth)
            terms.append(term)
        commands.append(_checked(terms))
        return _Pipeline(tuple(commands)), at

    def _term(
        self, tokens: Sequence[tuple[str, str]], kind: str, text: str, at: int, depth: int
    ) -> tuple[_Term, int]:
        value: Value | _Pipeline = text
        if (kind, text) == ("sign", "("):
            value, at = self._commands(tokens, at, depth + 1)
            if at >= len(tokens):
                raise TemplateError("unclosed left paren")
            kind, at = "pipeline", at + 1
        elif kind == "string":
            kind, value = "literal", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text[1:-1])
        elif kind == "raw":
            kind, value = "literal", text[1:-1]
        elif kind == "number":
            kind, value = "literal", int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        elif kind == "word" and text in {"true", "false", "nil"}:
            kind, value = "literal", {"true": True, "false": False, "nil": None}[text]
        elif kind == "word" and text not in FUNCTIONS and text != "query":
            raise TemplateError(f"function {text!r} not defined")
        elif kind == "variable" and text not in self._variables:
            raise TemplateError(f"undefined variable {text!r}")
        elif kind == "sign":
            raise TemplateError(f"unexpected {text!r}")
        fields = [text[1:]] if kind == "field" else []
        while at < len(tokens) and tokens[at][0] == "chain":
            fields.append(tokens[at][1][1:])
            at += 1
        return _Term("dot" if kind == "field" else kind, value, tuple(fields)), at


def _checked(terms: list[_Term]) -> tuple[_Term, ...]:
    if not terms:
        raise TemplateError("missing value for command")
    if len(terms) > 1 and terms[0].kind != "word":
        raise TemplateError(f"can't give argument to non-function {terms[0].value}")
    return tuple(terms)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise TemplateError(f"unexpected {text[at:].strip()[:10]!r} in action")
        kind = str(match.lastgroup)
        token = match[kind]
        glued = match.start(kind) == at and at > 0
        if kind == "field" and glued and found[-1][0] in {"variable", "field", "chain", "dot"} | {"sign"}:
            kind = "chain" if found[-1][1] not in {"|", "(", ",", "=", ":="} else "field"
        found.append((kind, token))
        at = match.end()
    return found


class _Run:
    """One expansion."""

    def __init__(self, variables: dict[str, Value], query: QueryFunction | None) -> None:
        self._variables = variables
        self._query = query

    def text(self, nodes: Sequence[_Node], dot: Value) -> str:
        return "".join(self._node(node, dot) for node in nodes)

    def _node(self, node: _Node, dot: Value) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, _Pipeline):
            value = self._pipeline(node, dot)
            return "" if node.target else go_text(value)
        value = self._pipeline(node.pipeline, dot)
        if node.word == "range":
            return self._range(node, value, dot)
        if truth(value):
            return self.text(node.body, value if node.word == "with" else dot)
        return self.text(node.otherwise, dot)

    def _range(self, node: _Block, items: Value, dot: Value) -> str:
        if isinstance(items, Mapping):
            pairs: list[tuple[Value, Value]] = [(key, items[key]) for key in sorted(items)]
        elif isinstance(items, Sequence) and not isinstance(items, str):
            pairs = list(enumerate(items))
        else:
            raise TemplateError(f"range can't iterate over {go_text(items)}")
        parts = []
        for key, value in pairs:
            names = node.pipeline.target
            if names:
                self._variables[names[-1]] = value
            if len(names) == 2:
                self._variables[names[0]] = key
            parts.append(self.text(node.body, value))
        return "".join(parts) if pairs else self.text(node.otherwise, dot)

    def _pipeline(self, pipeline: _Pipeline, dot: Value) -> Value:
        piped: tuple[Value, ...] = ()
        for command in pipeline.commands:
            piped = (self._command(command, piped, dot),)
        for name in pipeline.target:
            self._variables[name] = piped[0]
        return piped[0]

    def _command(self, terms: Sequence[_Term], piped: tuple[Value, ...], dot: Value) -> Value:
        head = terms[0]
        if head.kind != "word":
            if piped:
                raise TemplateError("can't give argument to non-function")
            return self._value(head, dot)
        args = [self._value(term, dot) for term in terms[1:]]
        return self._call(str(head.value), [*args, *piped])

    def _call(self, name: str, args: Sequence[Value]) -> Value:
        if name == "query":
            if self._query is None:
                raise TemplateError("query is not available here")
            return self._query(str(args[0]))
        try:
            return FUNCTIONS[name](*args)
        except (TypeError, ValueError, OverflowError) as error:
            raise TemplateError(f"error calling {name}: {error}") from None

    def _value(self, term: _Term, dot: Value) -> Value:
        if isinstance(term.value, _Pipeline):
            value = self._pipeline(term.value, dot)
        elif term.kind == "literal":
            return term.value
        elif term.kind == "variable":
            value = self._variables[str(term.value)]
        elif term.kind == "word":
            return self._call(str(term.value), [])
        else:
            value = dot
        for name in term.fields:
            if not isinstance(value, Mapping):
                raise TemplateError(f"can't evaluate field {name}")
            value = value.get(name, "")
        return value


def expand(
    template: Template,
    labels: Mapping[str, str],
    value: float,
    *,
    external_labels: Mapping[str, str] | None = None,
    query: QueryFunction | None = None,
) -> str:
    """The text of a template for one alert. Raises TemplateError when it cannot be expanded."""
    if template.constant:
        return "".join(str(node) for node in template.nodes)
    external = dict(external_labels or {})
    dot: dict[str, Value] = {
        "Labels": labels,
        "Value": float(value),
        "ExternalLabels": external,
        "ExternalURL": "",
    }
    variables: dict[str, Value] = {
        "$": dot,
        "$labels": labels,
        "$value": float(value),
        "$externalLabels": external,
        "$externalURL": "",
    }
    return _Run(variables, query).text(template.nodes, dot)

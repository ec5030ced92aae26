"""The functions of alert templates: Go's own and Prometheus's, with their argument types and complaints.

Sources: Go text/template (funcs.go), Prometheus template/template.go. What a function may ask of the world outside
(a query, the address of the console) comes in a `World`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote_plus, urlsplit

import re2

from rules.alerting.go_format import go_text, sprintf
from rules.alerting.template_numbers import (
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    parse_duration,
    to_time,
)
from rules.alerting.template_values import AlertData, ArgMap, CallError, Moment, SampleValue, Value, go_type

QueryFunction = Callable[[str], Sequence[SampleValue]]
_GROUP = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+)|())")
_QUIETLY = re2.Options()
_QUIETLY.log_errors = False


def _no_query(_expression: str) -> Sequence[SampleValue]:
    raise CallError("query is not available here")


@dataclass(frozen=True, slots=True)
class World:
    """What templates may know of the outside. `query` may raise CallError. `now` is in ms."""

    query: QueryFunction = _no_query
    external_url: str = ""
    now: int = 0


NO_WORLD = World()


@dataclass(frozen=True, slots=True)
class Function:
    """A function with the Go types of its parameters; `rest` is the type of any number of further ones."""

    call: Callable[..., Value]
    params: tuple[str, ...] = ()
    rest: str | None = None


def compatible(value: Value, kind: str) -> bool:
    """Whether a value may be handed to a parameter of a Go type."""
    if kind == "string":
        return isinstance(value, str)
    if kind == "float":
        return isinstance(value, float)
    if kind == "*template.sample":
        return isinstance(value, SampleValue)
    if kind == "template.queryResult":
        return isinstance(value, Sequence) and not isinstance(value, str)
    return True


def truth(value: Value) -> bool:
    """Go's truth: zero, nil and the empty are false; NaN is true."""
    return True if isinstance(value, Moment | SampleValue | AlertData) else bool(value)


# Text.


def title(text: str) -> str:
    """Go's strings.Title: the first letter of every word in upper case."""
    parts, inside = [], False
    for char in text:
        parts.append(char if inside else char.title() if len(char.title()) == 1 else char)
        inside = char == "_" or char.isalnum() or not (char.isascii() or char.isspace())
    return "".join(parts)


def _cased(text: str, case: Callable[[str], str]) -> str:
    """Character by character, as Go does it: ß has no single capital and stays."""
    return "".join(case(char) if len(case(char)) == 1 else char for char in text)


def _regex(pattern: str, calling: str = "") -> re2._Regexp:
    try:
        return re2.compile(pattern, _QUIETLY)
    except re2.error as error:
        shown = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        wrong = pattern if len(pattern) < 80 else pattern[:80]
        prefix = f"regexp: Compile(`{wrong}`): " if calling else ""
        raise CallError(f"{prefix}error parsing regexp: {_go_words(shown)}") from None


def _go_words(message: str) -> str:
    """RE2 says of `(`: `missing ): (`; Go says: missing closing ): `(`."""
    words, colon, at = message.partition(": ")
    words = words.replace("missing ", "missing closing ") if words in {"missing )", "missing ]"} else words
    return f"{words}: `{at}`" if colon else words


def _replace(pattern: str, replacement: str, text: str) -> str:
    regex = _regex(pattern, "compile")

    def one(match: re2._Match) -> str:  # the groups as Go names them: $1, ${1}, $name
        def group(reference: re.Match[str]) -> str:
            if reference[0] == "$$":
                return "$"
            name = reference[1] or reference[2]
            if not name:
                return reference[0]
            key: int | str = int(name) if name.isdecimal() else name
            try:
                return str(match.group(key) or "")
            except (IndexError, KeyError):
                return ""

        return _GROUP.sub(group, replacement)

    return str(regex.sub(one, text))


def _split_host(text: str) -> tuple[str, str] | None:
    """Host and port as Go's net.SplitHostPort; None where that fails."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return (host, port[1:]) if bracket and port.startswith(":") and ":" not in port[1:] else None
    host, colon, port = text.partition(":")
    return (host, port) if colon and ":" not in port and not set("[]") & set(text) else None


def _strip_port(text: str) -> str:
    found = _split_host(text)
    return text if found is None else found[0]


def _strip_domain(text: str) -> str:
    host, port = _split_host(text) or (text, "")
    try:
        ip_address(host.partition("%")[0] if ":" in host else host)
    except ValueError:
        short = host.split(".", 1)[0]
        return f"{short}:{port}" if port else short
    return text


def _link(tab: int) -> Callable[..., str]:
    return lambda _world, expr: f"/graph?g0.expr={quote_plus(expr, safe='~')}&g0.tab={tab}"


def _javascript(text: str) -> str:
    return json.dumps(text)[1:-1].replace("'", "\\'").replace("<", "\\u003C").replace(">", "\\u003E")


def _joined(args: Sequence[Value]) -> str:
    """Go's Sprint: a blank between two operands when neither is a string."""
    parts: list[str] = []
    for i, arg in enumerate(args):
        if i and not isinstance(arg, str) and not isinstance(args[i - 1], str):
            parts.append(" ")
        parts.append(go_text(arg))
    return "".join(parts)


def _text_of(args: Sequence[Value]) -> str:
    return args[0] if len(args) == 1 and isinstance(args[0], str) else _joined(args)


# Samples and collections.


def _first(items: Sequence[Value]) -> Value:
    if items:
        return items[0]
    raise CallError("first() called on vector with no elements")


def _there(sample: SampleValue | None) -> SampleValue:
    if sample is None:
        raise CallError("runtime error: invalid memory address or nil pointer dereference")
    return sample


def _sorted(name: str, items: Sequence[SampleValue]) -> Sequence[Value]:
    return sorted(items or (), key=lambda item: item.Labels.get(name, ""))


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | Sequence):
        return len(value)
    if value is None:
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    raise CallError(f"len of type {go_type(value)}")


def _index(container: Value, *keys: Value) -> Value:
    for key in keys:
        if container is None:
            raise CallError("index of nil pointer")
        if isinstance(container, Mapping):
            if key is None:
                raise CallError("value is nil; should be of type string")
            if not isinstance(key, str):
                raise CallError(f"value has type {go_type(key)}; should be string")
            container = container.get(key, None if isinstance(container, ArgMap) else "")
            continue
        if key is None:
            raise CallError("cannot index slice/array with nil")
        if isinstance(key, bool) or not isinstance(key, int):
            raise CallError(f"cannot index slice/array with type {go_type(key)}")
        items: Sequence[Value] | bytes
        if isinstance(container, str):
            items = container.encode()
        elif isinstance(container, Sequence):
            items = container
        else:
            raise CallError(f"can't index item of type {go_type(container)}")
        if not 0 <= key < len(items):
            raise CallError(f"index out of range: {key}" if key >= 0 else f"negative slice index: {key}")
        container = items[key]
    return container


def _slice(text: Value, *bounds: Value) -> Value:
    if text is None:
        raise CallError("slice of untyped nil")
    if not isinstance(text, str | Sequence) or len(bounds) > 2:
        raise CallError(f"can't slice item of type {go_type(text)}")
    items = text.encode() if isinstance(text, str) else text
    numbers = [bound for bound in bounds if isinstance(bound, int) and not isinstance(bound, bool)]
    if len(numbers) != len(bounds) or any(not 0 <= number <= len(items) for number in numbers):
        raise CallError(f"index out of range: {go_text(bounds[-1])}")
    start, stop = [*numbers, *([0, len(items)][len(numbers) :])]
    if start > stop:
        raise CallError(f"invalid slice index: {start} > {stop}")
    cut = items[start:stop]
    return cut.decode(errors="replace") if isinstance(cut, bytes) else cut


# Comparisons: only like with like, as Go has it.


def _kind(value: Value) -> str:
    if isinstance(value, bool | int | float | str):
        return go_type(value)
    if value is None:
        return "nil"
    if isinstance(value, Mapping):
        raise CallError(f"non-comparable type {go_text(value)}: {go_type(value)}")
    raise CallError("invalid type for comparison")


def _equal(left: Value, *others: Value) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    for other in others:
        if _kind(left) != _kind(other) and None not in (left, other):
            raise CallError("incompatible types for comparison")
        if left == other:
            return True
    return False


def _less(left: Value, right: Value) -> bool:
    if isinstance(left, Mapping) or isinstance(right, Mapping):
        raise CallError("invalid type for comparison")
    if _kind(left) != _kind(right):
        raise CallError("incompatible types for comparison")
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if isinstance(left, bool) or not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise CallError("invalid type for comparison")
    return left < right


def _html(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _pure(call: Callable[..., Value], *params: str, rest: str | None = None) -> Function:
    return Function(lambda _world, *args: call(*args), params, rest)


FUNCTIONS: Mapping[str, Function] = {
    # Go
    "and": _pure(lambda *args: args[-1], "any", rest="any"),
    "or": _pure(lambda *args: args[-1], "any", rest="any"),
    "not": _pure(lambda value: not truth(value), "any"),
    "len": _pure(_length, "any"),
    "index": _pure(_index, "any", rest="any"),
    "slice": _pure(_slice, "any", rest="any"),
    "print": _pure(lambda *args: _joined(args), rest="any"),
    "println": _pure(lambda *args: " ".join(go_text(arg) for arg in args) + "\n", rest="any"),
    "printf": _pure(lambda form, *args: sprintf(form, args), "string", rest="any"),
    "html": _pure(lambda *args: _html(_text_of(args)), rest="any"),
    "js": _pure(lambda *args: _javascript(_text_of(args)), rest="any"),
    "urlquery": _pure(lambda *args: quote_plus(_text_of(args), safe="~"), rest="any"),
    "eq": _pure(_equal, "any", rest="any"),
    "ne": _pure(lambda left, right: not _equal(left, right), "any", "any"),
    "lt": _pure(_less, "any", "any"),
    "le": _pure(lambda left, right: _less(left, right) or left == right, "any", "any"),
    "gt": _pure(lambda left, right: not (_less(left, right) or left == right), "any", "any"),
    "ge": _pure(lambda left, right: not _less(left, right), "any", "any"),
    # Prometheus
    "query": Function(lambda world, expr: world.query(expr), ("string",)),
    "first": _pure(_first, "template.queryResult"),
    "label": _pure(lambda name, sample: _there(sample).Labels.get(name, ""), "string", "*template.sample"),
    "value": _pure(lambda sample: _there(sample).Value, "*template.sample"),
    "strvalue": _pure(lambda sample: _there(sample).Labels.get("__value__", ""), "*template.sample"),
    "sortByLabel": _pure(_sorted, "string", "template.queryResult"),
    "args": _pure(lambda *args: ArgMap({f"arg{i}": arg for i, arg in enumerate(args)}), rest="any"),
    "humanize": _pure(humanize, "any"),
    "humanize1024": _pure(humanize1024, "any"),
    "humanizeDuration": _pure(humanize_duration, "any"),
    "humanizePercentage": _pure(humanize_percentage, "any"),
    "humanizeTimestamp": _pure(humanize_timestamp, "any"),
    "toTime": _pure(to_time, "any"),
    "parseDuration": _pure(parse_duration, "string"),
    "title": _pure(title, "string"),
    "toUpper": _pure(lambda text: _cased(text, str.upper), "string"),
    "toLower": _pure(lambda text: _cased(text, str.lower), "string"),
    "match": _pure(lambda pattern, text: _regex(pattern).search(text) is not None, "string", "string"),
    "reReplaceAll": _pure(_replace, "string", "string", "string"),
    "stripPort": _pure(_strip_port, "string"),
    "stripDomain": _pure(_strip_domain, "string"),
    "safeHtml": _pure(lambda text: text, "string"),
    "graphLink": Function(_link(0), ("string",)),
    "tableLink": Function(_link(1), ("string",)),
    "urlQueryEscape": _pure(lambda text: quote_plus(text, safe="~"), "string"),
    "now": Function(lambda world: world.now / 1000),
    "externalURL": Function(lambda world: world.external_url),
    "pathPrefix": Function(lambda world: urlsplit(world.external_url).path),
}

"""Functions of alert templates, with Go's and Prometheus's way of printing numbers.

Sources: Go text/template and fmt, Prometheus template/template.go. `query` is bound by the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote_plus

import re2

from monitor.clock import to_datetime
from rules.alerting.errors import TemplateError

Value = str | float | int | bool | None | Mapping[str, "Value"] | Sequence["Value"]
Function = Callable[..., Value]

_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")
_WORD = re.compile(r"(^|\s)(\S)")
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def go_float(value: float) -> str:
    """A float as Go prints it with %v: shortest digits, exponent form below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".lower().partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits.strip("0"):
        return sign + "0"
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    power = point - 1
    if power < -4 or power >= 6:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def go_text(value: Value) -> str:
    """Any value as Go prints it with %v."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{go_text(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, str | int):
        return str(value)
    return "[" + " ".join(go_text(item) for item in value) + "]"


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TemplateError(f"{go_text(value)!r} is not a number")
    try:
        return float(value)
    except ValueError:
        raise TemplateError(f"{value!r} is not a number") from None


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"expected a string, got {go_text(value)}")
    return value


def _short(value: float) -> str:
    return go_float(value) if not math.isfinite(value) else f"{value:.4g}"


def humanize(value: Value) -> str:
    """Four significant digits with a decimal prefix: 1234567 -> 1.235M."""
    number = _number(value)
    if number == 0 or not math.isfinite(number):
        return _short(number)
    prefix = ""
    if abs(number) >= 1:
        for step in "kMGTPEZY":
            if abs(number) < 1000:
                break
            prefix, number = step, number / 1000
    else:
        for step in "munpfazy":
            if abs(number) >= 1:
                break
            prefix, number = step, number * 1000
    return _short(number) + prefix


def humanize1024(value: Value) -> str:
    """Four significant digits with a binary prefix: 1048576 -> 1Mi."""
    number = _number(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _short(number)
    prefix = ""
    for step in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(number) < 1024:
            break
        prefix, number = step, number / 1024
    return _short(number) + prefix


def humanize_duration(value: Value) -> str:
    """Seconds as days, hours, minutes and seconds: 93784 -> 1d 2h 3m 4s."""
    number = _number(value)
    if not math.isfinite(number):
        return _short(number)
    if number == 0:
        return "0s"
    if abs(number) < 1:
        prefix = ""
        for step in "munpfazy":
            if abs(number) >= 1:
                break
            prefix, number = step, number * 1000
        return f"{_short(number)}{prefix}s"
    sign = "-" if number < 0 else ""
    whole = int(abs(number))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_short(abs(number))}s"


def humanize_percentage(value: Value) -> str:
    """A ratio as a percentage: 0.853 -> 85.3%."""
    return _short(_number(value) * 100) + "%"


def humanize_timestamp(value: Value) -> str:
    """Seconds since the epoch as a UTC time."""
    number = _number(value)
    if not math.isfinite(number):
        return _short(number)
    moment = to_datetime(round(number * 1000))
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def printf(form: Value, *args: Value) -> str:
    """Go's fmt.Sprintf for the verbs %v %s %q %d %f %e %g %t %x %%."""
    given = iter(args)
    missing = object()

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        value = next(given, missing)
        if value is missing:
            return f"%!{verb}(MISSING)"
        shown = _verb(verb, precision, flags, value)  # type: ignore[arg-type]
        return _pad(shown, flags, width)

    text = _VERB.sub(one, _text(form))
    rest = list(given)
    if rest:
        text += f"%!(EXTRA {', '.join(f'{_kind(v)}={go_text(v)}' for v in rest)})"
    return text


def _pad(text: str, flags: str, width: str | None) -> str:
    if not width:
        return text
    if "-" in flags:
        return text.ljust(int(width))
    return text.zfill(int(width)) if "0" in flags else text.rjust(int(width))


def _verb(verb: str, precision: str | None, flags: str, value: Value) -> str:
    plus = "+" if "+" in flags else ""
    if verb in "feEgG" and isinstance(value, float):
        if not math.isfinite(value):
            return go_float(value)
        if precision is None and verb in "gG":
            return go_float(value)
        return f"{value:{plus}.{precision or 6}{verb}}"
    if verb == "d" and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:{plus}d}"
    if verb == "x" and isinstance(value, int):
        return f"{value:x}"
    if verb == "t" and isinstance(value, bool):
        return go_text(value)
    if verb in "sq" and isinstance(value, str):
        cut = value[: int(precision)] if precision else value
        return cut if verb == "s" else '"' + cut.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if verb in "sv" and not (verb == "s" and isinstance(value, int | float)):
        return go_text(value)
    return f"%!{verb}({_kind(value)}={go_text(value)})"


def _kind(value: Value) -> str:
    kinds = {bool: "bool", int: "int", float: "float64", str: "string", type(None): "<nil>"}
    return kinds.get(type(value), "map[string]string")


def truth(value: Value) -> bool:
    """Go's truth: empty and zero are false."""
    return bool(value)


def _parse_duration(value: Value) -> float:
    text = _text(value)
    if text != "0" and not re.fullmatch(r"-?(\d+(ms|[smhdwy]))+", text):
        raise TemplateError(f"not a valid duration: {text!r}")
    total = sum(int(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))
    return -total if text.startswith("-") else float(total)


def _first(items: Value) -> Value:
    if isinstance(items, Sequence) and not isinstance(items, str) and items:
        return items[0]
    raise TemplateError("first() called on a vector with no elements")


def _sample(item: Value, name: str) -> Value:
    if not isinstance(item, Mapping) or name not in item:
        raise TemplateError("expected a sample of a query")
    return item[name]


def _label(name: Value, sample: Value) -> Value:
    labels = _sample(sample, "Labels")
    return labels.get(_text(name), "") if isinstance(labels, Mapping) else ""


def _sort_by_label(name: Value, items: Value) -> Value:
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise TemplateError("sortByLabel needs the result of a query")
    return sorted(items, key=lambda item: str(_label(name, item)))


def _index(container: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(container, Mapping):
            container = container.get(_text(key), "")
        elif isinstance(container, Sequence) and not isinstance(container, str) and isinstance(key, int):
            if not 0 <= key < len(container):
                raise TemplateError(f"index out of range: {key}")
            container = container[key]
        else:
            raise TemplateError(f"cannot index {go_text(container)}")
    return container


def _order(left: Value, right: Value) -> int:
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    one, two = _number(left), _number(right)
    return (one > two) - (one < two)


def _strip_port(value: Value) -> str:
    text = _text(value)
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def _strip_domain(value: Value) -> str:
    text = _text(value)
    host, colon, port = text.partition(":")
    if re.fullmatch(r"[0-9.]+", host) or text.startswith("["):
        return text
    return host.split(".", 1)[0] + colon + port


def _regex(pattern: Value) -> re2._Regexp:
    try:
        return re2.compile(_text(pattern))
    except re2.error as error:
        raise TemplateError(f"not a regular expression: {pattern!r}: {error}") from None


def _replace(pattern: Value, replacement: Value, text: Value) -> str:
    return str(_regex(pattern).sub(re.sub(r"\$\{?(\d)\}?", r"\\\1", _text(replacement)), _text(text)))


def _last_true(stop: bool) -> Function:
    def choose(*args: Value) -> Value:
        for arg in args:
            if truth(arg) is stop:
                return arg
        return args[-1]

    return choose


FUNCTIONS: Mapping[str, Function] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "printf": printf,
    "print": lambda *args: "".join(go_text(a) for a in args),
    "println": lambda *args: " ".join(go_text(a) for a in args) + "\n",
    "title": lambda text: _WORD.sub(lambda m: m[1] + m[2].upper(), _text(text)),
    "toUpper": lambda text: _text(text).upper(),
    "toLower": lambda text: _text(text).lower(),
    "len": len,
    "index": _index,
    "eq": lambda left, *others: any(left == other for other in others),
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: _order(left, right) < 0,
    "le": lambda left, right: _order(left, right) <= 0,
    "gt": lambda left, right: _order(left, right) > 0,
    "ge": lambda left, right: _order(left, right) >= 0,
    "and": _last_true(stop=False),
    "or": _last_true(stop=True),
    "not": lambda value: not truth(value),
    "match": lambda pattern, text: _regex(pattern).search(_text(text)) is not None,
    "reReplaceAll": _replace,
    "stripPort": _strip_port,
    "stripDomain": _strip_domain,
    "parseDuration": _parse_duration,
    "first": _first,
    "label": _label,
    "value": lambda sample: _sample(sample, "Value"),
    "strvalue": lambda sample: _label("__value__", sample),
    "sortByLabel": _sort_by_label,
    "urlquery": lambda text: quote_plus(go_text(text)),
    "safeHtml": lambda text: text,
    "externalURL": lambda: "",
    "pathPrefix": lambda: "",
}

"""Go's `fmt`: how Go prints values, and Sprintf with its verbs, flags, widths and complaints. Pure.

Source: https://pkg.go.dev/fmt. The values are those of `template_values`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rules.alerting.template_values import AlertData, Moment, SampleValue, Value, go_type

_EXPONENT_FROM = 6
_MAX_WIDTH = 1_000_000  # as in Go; wider is %!(BADWIDTH)
_VERB = re.compile(
    r"%([-+# 0]*)(?:\[(\d+)\])?(\*|\d+)?(?:\.(?:\[(\d+)\])?(\*|\d*))?(?:\[(\d+)\])?(.)?", re.DOTALL
)
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def go_float(value: float) -> str:
    """A float as Go prints it with %v: shortest digits, exponent form below 1e-4 and from 1e6 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".lower().partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits.strip("0"):
        return sign + "0"
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    power = point - 1
    if power < -4 or power >= _EXPONENT_FROM:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def go_text(value: Value) -> str:
    """Any value as Go prints it with %v."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, int | Moment):
        return str(value)
    if isinstance(value, SampleValue):
        return f"&{{{go_text(value.Labels)} {go_float(value.Value)}}}"
    if isinstance(value, AlertData):
        parts = (value.Labels, value.ExternalLabels, value.ExternalURL, value.Value)
        return "{" + " ".join(go_text(part) for part in parts) + "}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{go_text(value[k])}" for k in sorted(value)) + "]"
    return "[" + " ".join(go_text(item) for item in value) + "]"


def go_quote(text: str) -> str:
    """strconv.Quote."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _hex(c)) for c in text) + '"'


def _hex(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@dataclass(frozen=True, slots=True)
class _Spec:
    """One verb with what stands before it."""

    flags: str
    width: int | None
    precision: int | None
    verb: str


def sprintf(form: str, args: Sequence[Value]) -> str:
    """fmt.Sprintf, complaints included: what does not fit is printed as %!verb(type=value)."""
    parts: list[str] = []
    at = position = 0
    reordered = False
    while True:
        start = form.find("%", position)
        if start < 0:
            parts.append(form[position:])
            break
        parts.append(form[position:start])
        match = _VERB.match(form, start)
        assert match is not None  # every group of the pattern may be empty
        position = match.end()
        flags, first, width, second, precision, third, verb = match.groups()
        reordered = reordered or any((first, second, third))
        if first:
            at = int(first) - 1
        wide, at, broken = _measure(width, args, at)
        parts.append("%!(BADWIDTH)" if broken else "")
        if second:
            at = int(second) - 1
        exact, at, broken = _measure(precision if precision != "" else "0", args, at)
        parts.append("%!(BADPREC)" if broken else "")
        if third:
            at = int(third) - 1
        if verb is None:
            parts.append("%!(NOVERB)")
        elif verb == "%":
            parts.append("%")
        elif at >= len(args) or at < 0:
            parts.append(f"%!{verb}({'BADINDEX' if reordered else 'MISSING'})")
        else:
            if wide is not None and wide < 0:
                flags, wide = flags + "-", -wide
            parts.append(_verb(_Spec(flags, wide, exact, verb), args[at]))
            at += 1
    if not reordered and at < len(args):
        extra = ", ".join("<nil>" if v is None else f"{go_type(v)}={go_text(v)}" for v in args[at:])
        parts.append(f"%!(EXTRA {extra})")
    return "".join(parts)


def _measure(text: str | None, args: Sequence[Value], at: int) -> tuple[int | None, int, bool]:
    """A width or precision: the number, the next argument, and whether it is unusable."""
    if text is None:
        return None, at, False
    if text != "*":
        number = int(text)
        return (number, at, False) if number <= _MAX_WIDTH else (None, at, True)
    value = args[at] if 0 <= at < len(args) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_WIDTH:
        return value, at + 1, False
    return None, at + 1, True


def _verb(spec: _Spec, value: Value) -> str:
    if spec.verb == "T":
        return _pad(go_type(value), spec)
    if value is None:
        return _pad("<nil>", spec) if spec.verb == "v" else f"%!{spec.verb}(<nil>)"
    shown = _shown(spec, value)
    if shown is None:  # Go complains with the value as %v would have it, width and all
        return f"%!{spec.verb}({go_type(value)}={_shown(replace(spec, verb='v'), value)})"
    return shown


def _shown(spec: _Spec, value: Value) -> str | None:
    """The text of one value; None when the verb does not fit its type."""
    if isinstance(value, bool):
        return _pad(go_text(value), spec, zeros=False) if spec.verb in "tv" else None
    if isinstance(value, int):
        return _integer(spec, value)
    if isinstance(value, float):
        return _floating(spec, value)
    if isinstance(value, str):
        return _string(spec, value)
    if isinstance(value, Moment):
        return _string(spec, str(value)) if spec.verb in "sv" else None
    if value is None:
        return None
    if isinstance(value, SampleValue):
        return f"&{{{_verb(spec, value.Labels)} {_verb(spec, value.Value)}}}"
    if isinstance(value, AlertData):
        fields = (value.Labels, value.ExternalLabels, value.ExternalURL, value.Value)
        return "{" + " ".join(_verb(spec, part) for part in fields) + "}"
    if isinstance(value, Mapping):
        pairs = (f"{_verb(spec, key)}:{_verb(spec, value[key])}" for key in sorted(value))
        return "map[" + " ".join(pairs) + "]"
    return "[" + " ".join(_verb(spec, item) for item in value) + "]"


def _integer(spec: _Spec, value: int) -> str | None:
    verb = spec.verb
    if verb == "c":
        return _pad(chr(value) if 0 <= value < 0x110000 else "\ufffd", spec)
    if verb == "q":
        return _pad(f"'{chr(value) if 0 <= value < 0x110000 else chr(0xFFFD)}'", spec)
    if verb == "U":
        return _pad(f"U+{value:04X}", spec)
    if verb not in "vdbooxXO":
        return None
    digits = format(abs(value), {"v": "d", "O": "o"}.get(verb, verb))
    if spec.precision is not None:
        digits = "" if spec.precision == 0 and value == 0 else digits.zfill(spec.precision)
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in spec.flags else ""
    prefix = "0o" if verb == "O" else prefix
    return _signed("-" if value < 0 else "", prefix + digits, spec, zeros=spec.precision is None)


def _floating(spec: _Spec, value: float) -> str | None:
    verb = spec.verb
    if verb not in "veEfFgG":
        return None
    sign = "-" if math.copysign(1.0, value) < 0 and not math.isnan(value) else ""
    if not math.isfinite(value):
        if math.isnan(value):
            return _signed("", "NaN", spec, zeros=False)
        plus = " " if " " in spec.flags and "+" not in spec.flags else "+"
        return _signed(sign or plus, "Inf", spec, zeros=False)
    magnitude = abs(value)
    if verb in "eEfF":
        text = f"{magnitude:.{6 if spec.precision is None else spec.precision}{verb}}"
    elif spec.precision is None:
        text = go_float(magnitude)
        text = text.upper() if verb == "G" else text
    else:
        text = f"{magnitude:{'#' if '#' in spec.flags else ''}.{spec.precision}{'G' if verb == 'G' else 'g'}}"
    return _signed(sign, text, spec)


def _string(spec: _Spec, value: str) -> str | None:
    verb = spec.verb
    if verb in "xX":
        data = value.encode()[: spec.precision]
        raw = data.hex(" ") if " " in spec.flags else data.hex()
        return _pad(raw.upper() if verb == "X" else raw, spec)
    cut = value if spec.precision is None else value[: spec.precision]
    if verb == "q":
        raw_quote = "#" in spec.flags and "`" not in cut and cut.isprintable()
        return _pad(f"`{cut}`" if raw_quote else go_quote(cut), spec)
    if verb == "v" and "#" in spec.flags:
        return _pad(go_quote(cut), spec)
    return _pad(cut, spec) if verb in "sv" else None


def _signed(sign: str, digits: str, spec: _Spec, *, zeros: bool = True) -> str:
    """Sign, then zeros or blanks up to the width."""
    if not sign and "+" in spec.flags:
        sign = "+"
    elif not sign and " " in spec.flags:
        sign = " "
    width = spec.width or 0
    if zeros and "0" in spec.flags and "-" not in spec.flags:
        return sign + digits.zfill(width - len(sign))
    return _pad(sign + digits, spec, zeros=False)


def _pad(text: str, spec: _Spec, *, zeros: bool = True) -> str:
    width = spec.width or 0
    if "-" in spec.flags:
        return text.ljust(width)
    return text.rjust(width, "0" if zeros and "0" in spec.flags else " ")

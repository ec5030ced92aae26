"""The values that templates compute with, where Python's own types are not Go's. Pure.

str, float, int, bool and None stand for Go's string, float64, int, bool and nil; a Mapping is a map[string]string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

_LAYOUT = (
    ("2006", "%Y"),
    ("January", "%B"),
    ("Monday", "%A"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("-07:00", "+00:00"),
    ("-0700", "+0000"),
    ("Z07:00", "Z"),
    ("01", "%m"),
    ("02", "%d"),
    ("15", "%H"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("PM", "%p"),
)


class CallError(Exception):
    """A function refuses its arguments; the message is Go's."""


class ArgMap(dict[str, "Value"]):
    """What `args` makes: a map[string]interface {}, whose missing entries are nil, not the empty string."""


@dataclass(frozen=True, slots=True)
class SampleValue:
    """One sample of a query."""

    Labels: Mapping[str, str]
    Value: float


@dataclass(frozen=True, slots=True)
class AlertData:
    """The dot of an alert's template."""

    Labels: Mapping[str, str]
    ExternalLabels: Mapping[str, str]
    ExternalURL: str
    Value: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A time.Time in UTC."""

    at: datetime

    def __str__(self) -> str:
        fraction = f".{self.at.microsecond:06d}".rstrip("0").rstrip(".")
        return f"{self.at:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"

    def format(self, layout: str) -> str:
        """time.Time.Format for the usual elements of a layout."""
        parts: list[str] = []
        while layout:
            for element, code in _LAYOUT:
                if layout.startswith(element):
                    parts.append(self.at.strftime(code) if code.startswith("%") else code)
                    layout = layout[len(element) :]
                    break
            else:
                parts.append(layout[0])
                layout = layout[1:]
        return "".join(parts)


Value = (
    str
    | float
    | int
    | bool
    | None
    | Moment
    | SampleValue
    | AlertData
    | Mapping[str, "Value"]
    | Sequence["Value"]
)

DATA_TYPE = (
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value float64 }"
)


def go_type(value: Value) -> str:
    """The name of a value's type as Go prints it."""
    simple = {bool: "bool", int: "int", float: "float64", str: "string", Moment: "*time.Time"}
    simple |= {SampleValue: "*template.sample", AlertData: DATA_TYPE, ArgMap: "map[string]interface {}"}
    if value is None:
        return "<nil>"
    name = simple.get(type(value))
    if name is not None:
        return name
    return "map[string]string" if isinstance(value, Mapping) else "template.queryResult"

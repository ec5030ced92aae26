"""Strict reading of YAML into our own types: unknown, repeated and mistyped fields are faults with file:line.

Reads as Prometheus's Go decoder does: a number or boolean where a string is wanted is its text, null is nothing,
merge keys (<<) are followed, only the first document of a file counts. All faults of a file are collected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from rules.alerting.durations import parse_duration
from rules.alerting.errors import RuleFileError

MAX_BYTES = 4 << 20
_MERGE = "tag:yaml.org,2002:merge"
_MAX_ALIASES = 10_000

Fields = dict[str, yaml.Node]


def read_text(path: Path) -> str:
    """The text of a file, capped in size. Raises RuleFileError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RuleFileError(f"larger than {MAX_BYTES} bytes", where=str(path))
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileError(f"cannot be read: {error}", where=str(path)) from error


class YamlReader:
    """One file being read. `errors` collects what is wrong with it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.errors: list[RuleFileError] = []
        self._followed = 0

    def place(self, node: yaml.Node) -> str:
        """file:line of a node."""
        return f"{self.where}:{node.start_mark.line + 1}"

    def fault(self, node: yaml.Node, message: str) -> None:
        """Note something wrong at a node."""
        self.errors.append(RuleFileError(message, where=self.place(node)))

    def document(self, text: str) -> yaml.Node | None:
        """The first document; None when there is none or it is not YAML, which is a fault."""
        try:
            # Lazily, so that a second document is not read, as in Prometheus.
            return next(iter(yaml.compose_all(text, Loader=yaml.SafeLoader)), None)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.errors.append(
                RuleFileError(f"not valid YAML: {error.problem}", where=f"{self.where}:{line}")
            )
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self.errors.append(RuleFileError(f"not valid YAML: {error}", where=self.where))
        return None

    def mapping(self, node: yaml.Node | None, known: Iterable[str] | None, what: str) -> Fields:
        """The fields of a mapping; `known` None allows any."""
        if node is None or is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} must be a mapping")
            return {}
        allowed = None if known is None else frozenset(known)
        found: Fields = {}
        merged: Fields = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if key.tag == _MERGE:
                merged |= self._merged(value, known, what)
            elif allowed is not None and name not in allowed:
                self.fault(key, f"field {name} not found in {what}")
            elif not isinstance(key, yaml.ScalarNode):
                self.fault(key, f"a key of {what} must be a string")
            elif name in found:
                self.fault(key, f"{name} is given twice in {what}")
            else:
                found[name] = value
        return merged | found

    def _merged(self, node: yaml.Node, known: Iterable[str] | None, what: str) -> Fields:
        self._followed += 1
        if self._followed > _MAX_ALIASES:
            self.fault(node, "too many merge keys")
            return {}
        if isinstance(node, yaml.SequenceNode):
            found: Fields = {}
            for item in reversed(node.value):
                found |= self.mapping(item, known, what)
            return found
        return self.mapping(node, known, what)

    def sequence(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        """The items of a list."""
        if node is None or is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fault(node, f"{what} must be a list")
            return []
        return list(node.value)

    def text(self, node: yaml.Node | None, what: str) -> str:
        """A string."""
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, f"{what} must be a string")
            return ""
        return "" if is_null(node) else str(node.value)

    def texts(self, node: yaml.Node | None, what: str) -> dict[str, str]:
        """A mapping of strings to strings."""
        fields = self.mapping(node, None, what)
        return {name: self.text(value, f"{what}: {name}") for name, value in fields.items()}

    def duration(self, node: yaml.Node | None, what: str) -> int:
        """A duration in ms, 0 when there is none."""
        if node is None or is_null(node):
            return 0
        text = self.text(node, what)
        if not isinstance(node, yaml.ScalarNode):
            return 0
        try:
            return parse_duration(text)
        except ValueError as error:
            self.fault(node, f"{what}: {error}")
            return 0

    def count(self, node: yaml.Node | None, what: str) -> int:
        """A whole number; a fraction loses its decimals, as in Go's decoder."""
        number = self.number(node, what, "whole number")
        if not math.isfinite(number) or abs(number) >= 1 << 63:
            self.fault(node or yaml.ScalarNode("", ""), f"{what} must be a whole number")
            return 0
        return int(number)

    def number(self, node: yaml.Node | None, what: str, kind: str = "number") -> float:
        """A number that is written as one (not a quoted string)."""
        if node is None or is_null(node):
            return 0.0
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            try:
                return _number(node.value.replace("_", ""))
            except ValueError:
                pass  # said below, together with everything else that is no number
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        self.fault(node, f"{what} must be a {kind}, not {shown}")
        return 0.0

    def flag(self, node: yaml.Node | None, what: str) -> bool:
        """A boolean."""
        text = self.text(node, what).lower()
        if node is not None and text not in {"true", "false", ""}:
            self.fault(node, f"{what} must be true or false, not {text!r}")
        return text == "true"


def is_null(node: yaml.Node) -> bool:
    """Whether a node is YAML's null."""
    return isinstance(node, yaml.ScalarNode) and str(node.tag).endswith(":null")


_SPECIAL: Mapping[str, float] = {
    ".inf": math.inf,
    "+.inf": math.inf,
    "-.inf": -math.inf,
    ".nan": math.nan,
}


def _number(text: str) -> float:
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    if not text or (text[-1].isalpha() and not text.lstrip("+-").lower().startswith("0x")):
        raise ValueError(text)
    digits = text.lstrip("+-").lower()
    if digits.startswith(("0x", "0b", "0o")):
        return float(int(text, 0))
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number

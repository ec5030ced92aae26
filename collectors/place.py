"""YAML read for strict loaders: nodes that know their line, no aliases, bounded size and depth. No object is built.

The tree is made from parser events with a stack of our own, so that a deeply nested file cannot exhaust ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import yaml

from collectors.snmp.ber import Oid, encode_oid
from monitor.errors import InputError

MAX_DEPTH: Final = 16
_LOADER: Final = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml is ten times as fast where it is built in

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a file and where it stands: a single value, a list, or the pairs of a mapping."""

    file: str
    line: int  # counted from 1
    value: str | list[Place] | tuple[tuple[Place, Place], ...]

    @property
    def scalar(self) -> bool:
        """Whether a single value stands here."""
        return isinstance(self.value, str)

    @property
    def pairs(self) -> tuple[tuple[Place, Place], ...]:
        """The pairs of a mapping; nothing when it is none."""
        return self.value if isinstance(self.value, tuple) else ()

    def error(self, message: str) -> InputError:
        """An error that names this place."""
        return _error(self.file, self.line, message)

    def text(self) -> str:
        """The single value as written."""
        if not isinstance(self.value, str):
            raise self.error("a single value is required here")
        return self.value

    def items(self) -> list[Place]:
        """The items of a list. Nothing at all (`key:`) is an empty list."""
        if isinstance(self.value, list):
            return self.value
        if self.value in {"", "null", "~"}:
            return []
        raise self.error("a list is required here")

    def entries(self, allowed: Iterable[str] | None = None) -> dict[str, Place]:
        """Key to value of a mapping; a key that is given twice or not among `allowed` is an error."""
        if not isinstance(self.value, tuple):
            raise self.error("a mapping is required here")
        known = None if allowed is None else set(allowed)
        found: dict[str, Place] = {}
        for at, value in self.value:
            name = at.text()
            if name in found:
                raise at.error(f"key {name} is given twice")
            if known is not None and name not in known:
                raise at.error(f"key {name} is not known here (known: {', '.join(sorted(known))})")
            found[name] = value
        return found

    def parsed(self, parse: Callable[[str], T]) -> T:
        """The value through `parse`; whatever that refuses is an error of this place."""
        try:
            return parse(self.text())
        except InputError as error:
            raise self.error(error.message) from error
        except re.error as error:
            raise self.error(f"bad regular expression: {error}") from error
        except (ValueError, OverflowError) as error:
            raise self.error(f"{self.text()!r} is not valid here: {error}") from error

    def oid(self) -> Oid:
        """An object identifier."""
        return self.parsed(encode_oid)

    def integer(self, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.parsed(int)
        if not low <= value <= high:
            raise self.error(f"{value} is not between {low} and {high}")
        return value

    def number(self) -> float:
        """A finite number."""
        value = self.parsed(float)
        if not math.isfinite(value):
            raise self.error(f"{value} is not a finite number")
        return value

    def flag(self) -> bool:
        """true or false."""
        text = self.text().lower()
        if text not in {"true", "false"}:
            raise self.error(f"{self.text()!r} is neither true nor false")
        return text == "true"


def read_yaml(path: Path, max_bytes: int) -> Place:
    """The root of a file. Raises InputError with file:line on anything but plain, bounded YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=str(path), zh=f"{path}：无法读取该文件"
        ) from error
    if len(data) > max_bytes:
        message = f"a file of this kind is at most {max_bytes} bytes"
        raise InputError(message, where=str(path), zh=f"{path}：文件过大，上限 {max_bytes} 字节")
    return parse_yaml(data, str(path))


def parse_yaml(data: bytes, file: str) -> Place:
    """As read_yaml, from bytes."""
    try:
        root = _tree(data.decode("utf-8"), file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark is not None else file
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise InputError(
            f"not YAML: {reason}", where=where, zh=f"{where}：不是合法的 YAML：{reason}"
        ) from error
    if root is None:
        raise InputError("the file is empty", where=f"{file}:1", zh=f"{file}:1：文件是空的")
    return root


def _tree(text: str, file: str) -> Place | None:
    root: Place | None = None
    stack: list[tuple[int, list[Place]]] = []
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _error(file, line, "YAML anchors and aliases are not accepted")
        if isinstance(event, yaml.CollectionStartEvent):
            if len(stack) >= MAX_DEPTH:
                raise _error(file, line, f"nested more than {MAX_DEPTH} levels deep")
            stack.append((line, []))
            continue
        if isinstance(event, yaml.ScalarEvent):
            node = Place(file, line, event.value)
        elif isinstance(event, yaml.CollectionEndEvent):
            begun, children = stack.pop()
            mapping = isinstance(event, yaml.MappingEndEvent)
            pairs = tuple(zip(children[::2], children[1::2], strict=True)) if mapping else children
            node = Place(file, begun, pairs)
        else:
            continue
        if stack:
            stack[-1][1].append(node)
        elif root is None:
            root = node
        else:
            raise _error(file, line, "only one document is accepted in a file")
    return root


def _error(file: str, line: int, message: str) -> InputError:
    where = f"{file}:{line}"
    return InputError(message, where=where, zh=f"{where}：文件有误：{message}")

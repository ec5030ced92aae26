"""Strict YAML: every value knows its line, every key must be known, and nothing can blow up memory.

Anchors, aliases, merge keys, custom tags and duplicate keys are refused; size and depth are capped before a tree is
built. Errors are InputError with `file:line`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, TypeVar

import yaml

from monitor.errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12

_PLAIN = ("str", "int", "float", "timestamp")
_TAG = "tag:yaml.org,2002:"
EnumT = TypeVar("EnumT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Item:
    """One value of a document, with its place. Reading it as the wrong type raises InputError."""

    node: yaml.Node
    file: str
    name: str = ""

    @property
    def where(self) -> str:
        """`file:line`, counting from 1."""
        return f"{self.file}:{self.node.start_mark.line + 1}"

    def fail(self, message: str, hint: str = "") -> NoReturn:
        """Raise InputError at this place."""
        subject = f"{self.name}: " if self.name else ""
        raise InputError(subject + message, where=self.where, hint=hint)

    def fields(self, required: frozenset[str], optional: frozenset[str] = frozenset()) -> dict[str, Item]:
        """A mapping with exactly these keys; unknown, missing and duplicate ones are refused."""
        found = self.entries()
        known = required | optional
        for key, item in found.items():
            if key not in known:
                item.fail("unknown key", f"known here: {', '.join(sorted(known))}")
        missing = sorted(required - found.keys())
        if missing:
            self.fail(f"missing {', '.join(missing)}")
        return found

    def entries(self) -> dict[str, Item]:
        """A mapping with any keys."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail("expected a mapping")
        found: dict[str, Item] = {}
        for key, value in self.node.value:
            place = Item(key, self.file, self.name)
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                place.fail("a key must be a plain word")
            if key.value in found:
                place.fail(f"duplicate key {key.value!r}")
            found[key.value] = Item(value, self.file, key.value)
        return found

    @property
    def is_mapping(self) -> bool:
        """Whether this value is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_null(self) -> bool:
        """Whether this value is null."""
        return self.node.tag == _TAG + "null"

    def items(self, most: int = 1000) -> list[Item]:
        """A list of at most `most` values."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail("expected a list")
        if len(self.node.value) > most:
            self.fail(f"at most {most} entries")
        return [Item(value, self.file, self.name) for value in self.node.value]

    def text(self, *, most: int = 4096, empty: bool = False) -> str:
        """A string; numbers and dates are taken as they are written."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag not in {_TAG + t for t in _PLAIN}:
            self.fail("expected text", "put it in quotes")
        value: str = self.node.value
        if len(value) > most:
            self.fail(f"longer than {most} characters")
        if not value and not empty:
            self.fail("must not be empty")
        return value

    def texts(self, most: int = 1000) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(item.text() for item in self.items(most))

    def integer(self, low: int, high: int) -> int:
        """A whole number within [low, high]."""
        if self.node.tag != _TAG + "int" or not str(self.node.value).lstrip("-").isdigit():
            self.fail("expected a whole number")
        value = int(self.node.value)
        if not low <= value <= high:
            self.fail(f"{value} is not within {low}..{high}")
        return value

    def number(self, low: float, high: float) -> float:
        """A number within [low, high]."""
        if self.node.tag not in {_TAG + "int", _TAG + "float"}:
            self.fail("expected a number")
        try:
            value = float(self.node.value)
        except ValueError:
            self.fail("expected a plain decimal number")
        if not low <= value <= high:
            self.fail(f"{value} is not within {low}..{high}")
        return value

    def boolean(self) -> bool:
        """true or false."""
        if self.node.tag != _TAG + "bool":
            self.fail("expected true or false")
        return str(self.node.value).lower() in {"true", "yes", "on"}

    def choice(self, *words: str) -> str:
        """One of these words."""
        value = self.text()
        if value not in words:
            self.fail(f"{value!r} is not one of {', '.join(words)}")
        return value

    def member(self, enum: type[EnumT]) -> EnumT:
        """A member of a StrEnum."""
        return enum(self.choice(*(str(word) for word in enum)))

    def checked(self, parse: Callable[[str], object]) -> str:
        """A string that `parse` accepts; its ValueError is reported at this place."""
        value = self.text()
        try:
            parse(value)
        except ValueError as error:
            self.fail(str(error))
        return value


def parse(text: str, file: str) -> Item:
    """The root of one document. Raises InputError with file:line."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES} bytes", where=file)
    try:
        _survey(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = getattr(error.problem_mark, "line", 0) + 1
        raise InputError(f"not valid YAML: {error.problem}", where=f"{file}:{line}") from error
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", where=file) from error
    if node is None:
        raise InputError("the file is empty", where=file)
    return Item(node, file)


def _survey(text: str, file: str) -> None:
    """Refuse deep, aliased or several documents from the event stream, before anything recursive sees them."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{file}:{getattr(event.start_mark, 'line', 0) + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError("anchors and aliases are not allowed", where=where)
        if getattr(event, "tag", None):
            raise InputError("tags are not allowed", where=where)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise InputError(f"nested deeper than {MAX_DEPTH} levels", where=where)
        if documents > 1:
            raise InputError("one document a file", where=where)

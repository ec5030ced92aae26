"""YAML into plain data plus the line of every node, so that an error can name `file:line`.

Safe by construction: only the plain YAML types, no anchors or aliases, no duplicate keys, capped size and depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from monitor.errors import InputError

MAX_BYTES = 16 << 20
MAX_DEPTH = 32
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Data, and the 1-based line of every path such as `sites[0].devices[2].name`."""

    file: str
    data: Plain
    lines: dict[str, int]

    def where(self, path: str) -> str:
        """`file:line (path)`, of the nearest known ancestor when the path itself is missing."""
        known = path
        while known and known not in self.lines:
            known = known.rpartition(".")[0] if not known.endswith("]") else known.rpartition("[")[0]
        line = self.lines.get(known, 1)
        return f"{self.file}:{line}" + (f" ({path})" if path else "")


def read_document(path: Path) -> Placed:
    """Read a file. InputError names the line of whatever is not plain, small YAML."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("file is over 16 MiB", where=str(path), hint="split it")
        text = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", where=str(path)) from error
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Placed:
    """Parse a text; `file` is its name in errors."""
    lines: dict[str, int] = {}
    try:
        _refuse_deep(text, file)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            data = None if node is None else _plain(loader, node, "", lines, file)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(
            f"not valid YAML: {problem}", where=f"{file}:{mark.line + 1 if mark else 1}"
        ) from error
    except ValueError as error:  # a scalar that looks like a date or number and is none
        raise InputError(f"not valid YAML: {error}", where=file) from error
    return Placed(file, data, lines)


def _refuse_deep(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError("anchors and aliases are not allowed", where=f"{file}:{line}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise InputError(f"nested deeper than {MAX_DEPTH}", where=f"{file}:{line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _plain(loader: yaml.SafeLoader, node: yaml.Node, path: str, lines: dict[str, int], file: str) -> Plain:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, f"{path}[{i}]", lines, file) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key in found:
                raise InputError(f"duplicate or odd key {str(key)[:40]!r}", where=f"{file}:{line}")
            inner = f"{path}.{key}" if path else str(key)
            found[key] = _plain(loader, value_node, inner, lines, file)
        return found
    value = loader.construct_object(node)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(node.value)

"""A reader of Prometheus's PromQL test language (`load`, `clear`, `eval instant|range`, `expect`).

Only what is needed to judge float results: annotations (`expect warn|info`) are read and ignored, series with
native histogram samples are left out of the load and the block is marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.metrics.interface import STALE, Labels, make_labels

_UNITS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")
_EVAL = re.compile(
    r"eval(?:_(?P<old>fail|ordered|warn|info))?\s+(?:instant\s+at\s+(?P<at>\S+)"
    r"|range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))\s+(?P<expr>.*)"
)
_LABEL = re.compile(
    r'\s*(?:("(?:\\.|[^"\\])*")|([\w:.]+))\s*(?:=\s*("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'))?\s*(,|\})'
)
_ITEM = re.compile(
    r"(?P<value>_|stale|[-+]?(?:inf|nan|\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?))"
    r"(?P<step>[-+](?:inf|nan|[\d.]+(?:e[-+]?\d+)?))?(?:x(?P<times>\d+))?$",
    re.IGNORECASE,
)


@dataclass
class Case:
    """One `eval` with everything loaded before it."""

    place: str
    expression: str
    start_ms: int
    end_ms: int
    step_ms: int
    instant: bool
    loaded: list[tuple[Labels, list[tuple[int, float]]]]
    tags: set[str]
    fails: bool = False
    ordered: bool = False
    text: str | None = None
    raw: tuple[int, int] | None = None
    scalar: float | None = None
    vector: list[tuple[Labels, list[float | None]]] = field(default_factory=list)


def milliseconds(text: str) -> int:
    """`1m40s`, `100`, `-1m` or `1.5` (seconds) as ms."""
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    if _PART.fullmatch(text) or re.fullmatch(rf"(?:{_PART.pattern})+", text):
        return sign * round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    return sign * round(float(text) * 1000)


def values(text: str) -> list[float | None]:
    """Expanding notation: `1+2x3 _x2 stale` as a list; None is no sample. Raises ValueError."""
    found: list[float | None] = []
    for word in text.split():
        match = _ITEM.match(word)
        if match is None:
            raise ValueError(word)
        value, step = match["value"].lower(), match["step"]
        times = int(match["times"]) if match["times"] is not None else None
        if value == "_":
            found += [None] * (times or 1)
        elif value == "stale":
            found += [STALE] * ((times or 0) + 1)
        else:
            start = float(value)
            found += [start + (float(step) if step else 0.0) * i for i in range((times or 0) + 1)]
    return found


def series(line: str) -> tuple[Labels, str]:
    """`name{a="b"} rest` as (labels, rest)."""
    line = line.strip()
    name = re.match(r"[a-zA-Z_:][\w:]*", line)
    labels: dict[str, str] = {}
    place = 0
    if name:
        labels["__name__"] = name.group()
        place = name.end()
    if place < len(line) and line[place] == "{":
        place += 1
        while line[place:].lstrip().startswith("}") is False:
            match = _LABEL.match(line, place)
            if match is None:
                raise ValueError(line)
            quoted, bare, value, end = match.groups()
            key = _unquote(quoted) if quoted else bare
            if value is None:
                labels["__name__"] = key
            else:
                labels[key] = _unquote(value)
            place = match.end()
            if end == "}":
                return make_labels(labels), line[place:].strip()
        place = line.index("}", place) + 1
    return make_labels(labels), line[place:].strip()


def _unquote(text: str) -> str:
    return re.sub(
        r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match.group(1), match.group(1)), text[1:-1]
    )


def cases(path: Path) -> Iterator[Case]:
    """All evals of a file, in order."""
    loaded: list[tuple[Labels, list[tuple[int, float]]]] = []
    tags: set[str] = set()
    lines = path.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        start = number
        number += 1
        if not line or line.startswith("#"):
            continue
        block = []
        if line.startswith(("load", "eval")):
            while number < len(lines) and lines[number].strip():
                text = lines[number].strip()
                if text.startswith(("eval", "load", "clear")):
                    break
                number += 1
                if not text.startswith("#"):
                    block.append(text)
        if line == "clear":
            loaded, tags = [], set()
        elif line.startswith("load"):
            loaded, tags = _load(line, block, loaded, tags)
        elif line.startswith("eval"):
            yield _case(f"{path.name}:{start + 1}", line, block, loaded, tags)
        else:
            raise ValueError(f"{path.name}:{start + 1}: {line}")


def _load(
    line: str, block: Sequence[str], loaded: list[tuple[Labels, list[tuple[int, float]]]], tags: set[str]
) -> tuple[list[tuple[Labels, list[tuple[int, float]]]], set[str]]:
    mine: dict[Labels, list[tuple[int, float]]] = {}  # a series written twice counts as its last line
    tags = set(tags)
    step = milliseconds(line.split()[1])
    if line.startswith("load_with_nhcb"):
        tags.add("histogram")
    for text in block:
        if "{{" in text:
            tags.add("histogram")
            continue
        if re.search(r"}?@st\s", text):
            tags.add("start timestamp")
            continue
        labels, rest = series(text)
        mine[labels] = [(i * step, value) for i, value in enumerate(values(rest)) if value is not None]
    return [*loaded, *mine.items()], tags


def _case(
    place: str,
    line: str,
    block: Sequence[str],
    loaded: list[tuple[Labels, list[tuple[int, float]]]],
    tags: set[str],
) -> Case:
    head = _EVAL.match(line)
    if head is None:
        raise ValueError(f"{place}: {line}")
    instant = head["at"] is not None
    start = milliseconds(head["at"] or head["start"])
    end = start if instant else milliseconds(head["end"])
    step = 0 if instant else milliseconds(head["step"])
    case = Case(place, head["expr"].strip(), start, end, step, instant, loaded, set(tags))
    case.fails, case.ordered = head["old"] == "fail", head["old"] == "ordered"
    for text in block:
        if text.startswith("expect"):
            _expect(case, text)
        elif "{{" in text:
            case.tags.add("histogram result")
        elif not text.startswith("expected_fail"):
            _result(case, text)
    return case


def _expect(case: Case, text: str) -> None:
    kind, _, rest = text.removeprefix("expect").strip().partition(" ")
    if kind == "fail":
        case.fails = True
    elif kind == "ordered":
        case.ordered = True
    elif kind == "string":
        case.text = rest.strip()[1:-1]
    elif kind == "range":
        match = re.match(r"vector from (\S+) to (\S+) step (\S+)", rest)
        if match is None:
            raise ValueError(text)
        case.raw = (milliseconds(match[1]), milliseconds(match[3]))


def _result(case: Case, text: str) -> None:
    try:
        case.scalar = float(text)
    except ValueError:
        labels, rest = series(text)
        case.vector.append((labels, values(rest)))

"""A reader of Prometheus's PromQL test language (`load`, `clear`, `eval instant|range`, `expect`).

Only what is needed to judge float results: series with native histogram samples are left out of the load, and
their label sets kept, so that a reader can tell which evaluations they matter to.
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
class Note:
    """What is expected of warnings ("warn") or infos ("info"): none, any, one with this text, or one like it."""

    kind: str
    none: bool = False
    text: str = ""
    regex: str = ""

    def met(self, notes: Sequence[str]) -> bool:
        """Whether the notes of this kind are as expected."""
        if self.none:
            return not notes
        return any(self.text in ("", note) and re.search(self.regex, note) for note in notes)


@dataclass
class Load:
    """What is in the store: float series, label sets of native histograms, and what else the floats lack."""

    floats: list[tuple[Labels, list[tuple[int, float]]]] = field(default_factory=list)
    histograms: list[Labels] = field(default_factory=list)
    start_times: bool = False


@dataclass
class Case:
    """One `eval` with everything loaded before it."""

    place: str
    expression: str
    start_ms: int
    end_ms: int
    step_ms: int
    instant: bool
    load: Load
    fails: bool = False
    failure: Note = field(default_factory=lambda: Note("fail"))
    notes: list[Note] = field(default_factory=list)
    histogram_result: bool = False
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
    load = Load()
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
            load = Load()
        elif line.startswith("load"):
            load = _load(line, block, load)
        elif line.startswith("eval"):
            yield _case(f"{path.name}:{start + 1}", line, block, load)
        else:
            raise ValueError(f"{path.name}:{start + 1}: {line}")


def _load(line: str, block: Sequence[str], before: Load) -> Load:
    mine: dict[Labels, list[tuple[int, float]]] = {}  # a series written twice counts as its last line
    load = Load([], list(before.histograms), before.start_times)
    step = milliseconds(line.split()[1])
    for text in block:
        if re.search(r"}?@st\s", text):
            load.start_times = True
            continue
        labels, rest = series(text)
        if line.startswith("load_with_nhcb") and dict(labels)["__name__"].endswith("_bucket"):
            load.histograms.append(_converted(labels))
        if "{{" in text:
            load.histograms.append(labels)
        else:
            mine[labels] = [(i * step, value) for i, value in enumerate(values(rest)) if value is not None]
    load.floats = [*before.floats, *mine.items()]
    return load


def _converted(labels: Labels) -> Labels:
    """The label set of the native histogram made of a classic one."""
    name = dict(labels)["__name__"].removesuffix("_bucket")
    return make_labels({key: value for key, value in labels if key != "le"}, name)


def _case(place: str, line: str, block: Sequence[str], load: Load) -> Case:
    head = _EVAL.match(line)
    if head is None:
        raise ValueError(f"{place}: {line}")
    instant = head["at"] is not None
    start = milliseconds(head["at"] or head["start"])
    end = start if instant else milliseconds(head["end"])
    step = 0 if instant else milliseconds(head["step"])
    case = Case(place, head["expr"].strip(), start, end, step, instant, load)
    case.fails, case.ordered = head["old"] == "fail", head["old"] == "ordered"
    if head["old"] in ("warn", "info"):
        case.notes.append(Note(head["old"]))
    for text in block:
        if text.startswith("expect"):
            _expect(case, text)
        elif "{{" in text:
            case.histogram_result = True
        elif not text.startswith("expected_fail"):
            _result(case, text)
    return case


def _expect(case: Case, text: str) -> None:
    kind, _, rest = text.removeprefix("expect").strip().partition(" ")
    if kind == "fail":
        case.fails, case.failure = True, _note(kind, rest)
    elif kind in ("warn", "info", "no_warn", "no_info"):
        case.notes.append(_note(kind, rest))
    elif kind == "ordered":
        case.ordered = True
    elif kind == "string":
        case.text = rest.strip()[1:-1]
    elif kind == "range":
        match = re.match(r"vector from (\S+) to (\S+) step (\S+)", rest)
        if match is None:
            raise ValueError(text)
        case.raw = (milliseconds(match[1]), milliseconds(match[3]))


def _note(kind: str, rest: str) -> Note:
    note = Note(kind.removeprefix("no_"), none=kind.startswith("no_"))
    how, _, text = rest.strip().partition(":")
    if how == "msg":
        note.text = text.strip()
    elif how == "regex":
        note.regex = text.strip()
    return note


def _result(case: Case, text: str) -> None:
    try:
        case.scalar = float(text)
    except ValueError:
        labels, rest = series(text)
        case.vector.append((labels, values(rest)))

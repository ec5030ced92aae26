"""Where calls and aggregations and their arguments stand in the text; the parser's tree does not tell.

The tree is compiled in the order of the text, so the n-th call met there is the n-th call found here. Should the two
ever disagree, places are left empty: they are an aid to the reader, nothing depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)"""
    r"""|(?P<word>[A-Za-z_:][\w:]*)|(?P<other>.)""",
    re.DOTALL,
)
_GROUPING = frozenset(("by", "without"))


def line_and_column(expression: str, offset: int) -> str:
    """`line:column` of an offset, both from 1."""
    line = expression.count("\n", 0, offset) + 1
    return f"{line}:{offset - expression.rfind(chr(10), 0, offset)}"


@dataclass(frozen=True, slots=True)
class CallPlace:
    """A call: its name in lower case, where it stands and where its arguments do, each as `line:column`.

    `offsets` are the arguments' places as offsets into the text.
    """

    name: str
    place: str
    arguments: tuple[str, ...]
    offsets: tuple[int, ...]


_NOWHERE = CallPlace("", "", (), ())


class Places:
    """The calls of an expression, to be taken one after the other while its tree is compiled."""

    __slots__ = ("_found", "_next")

    def __init__(self, expression: str, names: Collection[str]) -> None:
        self._found = _calls(expression, names)
        self._next = 0

    def offsets_of(self, name: str, argument: int) -> list[int]:
        """Where that argument begins in every call of a function that has it."""
        return [
            call.offsets[argument]
            for call in self._found
            if call.name == name and argument < len(call.offsets)
        ]

    def take(self, name: str) -> CallPlace:
        """The place of the next call, which should be of this function; an empty one when it is not."""
        if self._next >= len(self._found) or self._found[self._next].name != name.lower():
            self._found = []
            return _NOWHERE
        self._next += 1
        return self._found[self._next - 1]


def _calls(expression: str, names: Collection[str]) -> list[CallPlace]:
    tokens = [
        (match.group(), match.start()) for match in _TOKEN.finditer(expression) if match.lastgroup != "skip"
    ]
    partner = _partners([text for text, _ in tokens])
    found = []
    braces = 0
    for index, (text, offset) in enumerate(tokens):
        braces += (text == "{") - (text == "}")
        name = text.lower()
        if braces or name not in names or (index and tokens[index - 1][0] == "@"):
            continue
        opening = _opening(tokens, partner, index)
        if opening in partner:
            offsets = tuple(_arguments(tokens, partner, opening))
            arguments = tuple(line_and_column(expression, start) for start in offsets)
            found.append(CallPlace(name, line_and_column(expression, offset), arguments, offsets))
    return found


def _partners(texts: list[str]) -> dict[int, int]:
    """The closing bracket of each opening one, by token number."""
    partner: dict[int, int] = {}
    stack: list[int] = []
    for index, text in enumerate(texts):
        if text in ("(", "[", "{"):
            stack.append(index)
        elif text in (")", "]", "}") and stack:
            partner[stack.pop()] = index
    return partner


def _opening(tokens: list[tuple[str, int]], partner: dict[int, int], index: int) -> int:
    """The token that opens the arguments of a call whose name is at `index`, or -1."""
    place = index + 1
    if place < len(tokens) and tokens[place][0].lower() in _GROUPING:
        place = partner.get(place + 1, len(tokens)) + 1
    return place if place < len(tokens) and tokens[place][0] == "(" else -1


def _arguments(tokens: list[tuple[str, int]], partner: dict[int, int], opening: int) -> list[int]:
    """The offsets at which the arguments inside a bracket begin."""
    closing = partner[opening]
    starts = []
    place = opening + 1
    fresh = True
    while place < closing:
        if fresh:
            starts.append(tokens[place][1])
        fresh = tokens[place][0] == ","
        place = partner.get(place, place) + 1
    return starts

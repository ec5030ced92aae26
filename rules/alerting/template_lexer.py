"""Splits a template into text and the tokens of its actions, as Go's text/template/parse does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rules.alerting.errors import TemplateError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
        |(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)(?!\w))
    |(?P<variable>\$\w*)|(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<word>[^\W\d]\w*)|(?P<declare>:=)
    |(?P<assign>=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\))|(?P<other>[!-~])""",
    re.VERBOSE,
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TERMINATES = frozenset(" \t\r\n.,|:)(")


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: text, left, right, space, string, raw, char, number, variable, field, dot, word, ... end.

    `at` is the offset in the source, in characters.
    """

    kind: str
    text: str
    at: int


def tokens(source: str) -> Iterator[Token]:
    """All tokens of a template, `end` last. Raises TemplateError."""
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        stop = len(source) if start < 0 else start
        text, at = source[position:stop], position
        if trim:
            at += len(text) - len(text.lstrip(" \t\r\n"))
            text = text.lstrip(" \t\r\n")
        left_trims = (
            start >= 0 and source.startswith("-", start + 2) and source[start + 3 : start + 4].isspace()
        )
        if left_trims:
            text = text.rstrip(" \t\r\n")
        if text:
            yield Token("text", text, at)
        if start < 0:
            yield Token("end", "", len(source))
            return
        inside = start + (4 if left_trims else 2)
        if source.startswith("/*", inside):
            position, trim = _comment(source, inside)
            continue
        yield Token("left", "{{", start)
        position = inside
        depth = 0
        while True:
            closing = _closing(source, position)
            if closing is not None:
                if depth:
                    raise TemplateError("unclosed left paren")
                yield Token("right", "}}", position)
                position, trim = closing
                break
            token = _token(source, position)
            depth += (token.kind == "open") - (token.kind == "close")
            if depth < 0:
                raise TemplateError("unexpected right paren U+0029 ')'")
            yield token
            position += len(token.text)


def _closing(source: str, at: int) -> tuple[int, bool] | None:
    """Where the action ends and whether it trims, when a closing delimiter stands here."""
    if source.startswith("}}", at):
        return at + 2, False
    if source[at : at + 1].isspace() and source.startswith("-}}", at + 1):
        return at + 4, True
    return None


def _comment(source: str, at: int) -> tuple[int, bool]:
    match = _COMMENT.match(source, at)
    if match is None:
        raise TemplateError("unclosed comment")
    closing = _closing(source, match.end())
    if closing is None:
        raise TemplateError("comment ends before closing delimiter")
    return closing


def _token(source: str, at: int) -> Token:
    if at >= len(source):
        raise TemplateError("unclosed action")
    match = _TOKEN.match(source, at)
    if match is None:
        raise TemplateError(_unexpected(source, at))
    kind, text = str(match.lastgroup), match[0]
    if kind == "space" and _closing(source, match.end() - 1) is not None and len(text) > 1:
        text = text[:-1]  # the last blank belongs to the trim marker " -}}"
    if kind in {"variable", "field", "word"} and text not in {"$"}:
        after = source[at + len(text) : at + len(text) + 1]
        if after and after not in _TERMINATES and not source.startswith("}}", at + len(text)):
            raise TemplateError(f"bad character U+{ord(after):04X} {after!r}")
    if kind == "other" and text != ",":
        raise TemplateError(_unexpected(source, at))
    return Token(kind, text, at)


def _unexpected(source: str, at: int) -> str:
    char = source[at]
    if char == '"':
        return "unterminated quoted string"
    if char == "`":
        return "unterminated raw quoted string"
    if char == "'":
        return "unterminated character constant"
    if char.isdigit() or char in "+-":
        return f"bad number syntax: {source[at : at + 12].split(maxsplit=1)[0]!r}"
    if char == ":":
        return "expected :="
    return f"unrecognized character in action: U+{ord(char):04X} {char!r}"

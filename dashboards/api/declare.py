"""What an API route declares about itself; the OpenAPI document and the checks of the query come from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from flask import Flask, request
from flask.typing import ResponseReturnValue

from monitor.errors import InputError

V = TypeVar("V", bound=Callable[..., ResponseReturnValue])

_MARK = "zhishou_api"
MAX_LIMIT = 500
DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Declaration:
    """`query` and `body` map a name to its JSON type; a body name ending in `!` is required."""

    summary: str
    answer: str  # name of the schema of the answer, or of the items of a paged one
    paged: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)


def declare(declaration: Declaration) -> Callable[[V], V]:
    """Attach a declaration to a view."""

    def mark(view: V) -> V:
        setattr(view, _MARK, declaration)
        return view

    return mark


def declaration_of(app: Flask, endpoint: str) -> Declaration | None:
    """What an endpoint declared, or None."""
    return cast("Declaration | None", getattr(app.view_functions[endpoint], _MARK, None))


def paging() -> tuple[int, int]:
    """(offset, limit) of the request. InputError when they are not numbers in range."""
    return _number("offset", 0, 10_000_000), max(1, _number("limit", DEFAULT_LIMIT, MAX_LIMIT))


def json_body() -> Mapping[str, object]:
    """The request's JSON object; empty when there is none. InputError for anything else."""
    if not request.content_length:
        return {}
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise InputError("the body is not a JSON object", zh="请求内容须为 JSON 对象")
    return body


def _number(name: str, default: int, highest: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > highest:
        raise InputError(
            f"{name} must be a number from 0 to {highest}", zh=f"{name} 须为 0 至 {highest} 的整数"
        )
    return int(text)

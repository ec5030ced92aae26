"""Answers in Prometheus's envelope: success with warnings, errors with their type, and compression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import orjson
import structlog
from flask import Response, request
from werkzeug.exceptions import HTTPException

from monitor.metrics.api.compression import gzip_parts
from monitor.metrics.errors import QueryError

log = structlog.get_logger(__name__)

STATUS_CLIENT_GONE = 499
_STATUS = MappingProxyType(
    {
        "bad_data": 400,
        "too_large": 413,
        "execution": 422,
        "canceled": STATUS_CLIENT_GONE,
        "timeout": 503,
        "unavailable": 503,
        "not_found": 404,
    }
)
_GZIP_FROM = 2048
_COPIED_UP_TO = 1 << 20
_MAX_NOTES = 10
_RETRY_AFTER = "2"


def success(data: object, *, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response:
    """200 with `data`: an object for JSON, or bytes that are JSON already."""
    raw = data if isinstance(data, bytes) else orjson.dumps(data)
    parts = [b'{"status":"success","data":', raw]
    for name, notes in ((b"warnings", warnings), (b"infos", infos)):
        if notes:
            parts.append(b',"%b":%b' % (name, orjson.dumps(_shortened(notes))))
    parts.append(b"}")
    return _json(parts, 200)


def refused(error: QueryError) -> Response:
    """The answer to a request that cannot be served."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    kind = "bad_data" if error.kind == "too_large" else error.kind
    raw = orjson.dumps({"status": "error", "errorType": kind, "error": message})
    answer = _json([raw], _STATUS.get(error.kind, 500))
    if error.kind == "unavailable":
        answer.headers["Retry-After"] = _RETRY_AFTER
    return answer


def failed(error: Exception) -> Response:
    """Whatever else goes wrong: logged here, and still JSON for the client."""
    if isinstance(error, HTTPException):
        answer = error.get_response()
        return Response(answer.get_data(), answer.status_code, dict(answer.headers))
    log.error("a request failed", path=request.path, exc_info=error)
    raw = orjson.dumps({"status": "error", "errorType": "internal", "error": type(error).__name__})
    return _json([raw], 500)


def plain(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A line of text."""
    body = text + "\n" if text else ""
    return Response(body, status, dict(headers or {}), content_type="text/plain; charset=utf-8")


def packed(parts: Sequence[bytes], status: int, content_type: str) -> Response:
    """A body, compressed when it is long and the client takes it."""
    headers = {"Vary": "Accept-Encoding"}
    if sum(map(len, parts)) >= _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        parts = gzip_parts(parts)
        headers["Content-Encoding"] = "gzip"
    # One piece is sent at once; a large body is not copied together for that.
    body = [b"".join(parts)] if sum(map(len, parts)) < _COPIED_UP_TO else list(parts)
    return Response(body, status, headers, content_type=content_type)


def _json(parts: Sequence[bytes], status: int) -> Response:
    return packed(parts, status, "application/json")


def _shortened(notes: Sequence[str]) -> list[str]:
    left_out = len(notes) - _MAX_NOTES
    return [*notes[:_MAX_NOTES], f"{left_out} more not shown"] if left_out > 0 else list(notes)

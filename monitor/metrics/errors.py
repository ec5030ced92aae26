"""Errors of the metrics room."""

from __future__ import annotations

from monitor.errors import InputError, ZhishouError


class QueryError(InputError):
    """An expression cannot be parsed, is not valid, or exceeds a limit. `kind` is Prometheus's errorType."""

    def __init__(self, message: str, *, kind: str = "bad_data", hint: str = "") -> None:
        self.kind = kind
        super().__init__(message, hint=hint)


class IngestError(InputError):
    """A remote_write request is malformed; `status` is the HTTP status to answer (400, 413, 415 or 429)."""

    def __init__(self, message: str, *, status: int = 400, hint: str = "") -> None:
        self.status = status
        super().__init__(message, hint=hint)


class StorageError(ZhishouError):
    """The disk did not take what was appended (full, read-only, failing). Nothing of the call is acknowledged;
    the caller keeps its samples and tries again. Over HTTP it is status 503.
    """

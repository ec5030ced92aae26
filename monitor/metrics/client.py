"""Asking a Prometheus-compatible API: ours over the core's Unix socket, or any server over HTTP."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from monitor.errors import DeniedError, UnreachableError
from monitor.metrics.errors import QueryError
from monitor.metrics.notation import seconds

Series = dict[str, str]
Sample = tuple[Series, float]
Line = tuple[Series, list[tuple[int, float]]]

_TIMEOUT_SECONDS = 35.0
_MAX_ANSWER = 512 << 20


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class PrometheusClient:
    """Queries against one server.

    `base` is the URL in front of `/api/v1` (`http://host:8080/prometheus`) or the path of the core's socket. One
    connection a query, so that it may be used from any thread. Every method raises QueryError (the expression),
    DeniedError (the token) or UnreachableError.
    """

    def __init__(self, base: str | Path, token: str = "", *, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._base = base
        self._token = token
        self._timeout = timeout

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        """Labels and value of every series at one time (default: now); a scalar has no labels."""
        parameters: dict[str, str] = {"query": expression}
        if at_ms is not None:
            parameters["time"] = str(seconds(at_ms))
        data = self.data("query", parameters)
        match data["resultType"]:
            case "vector":
                return [(item["metric"], float(item["value"][1])) for item in data["result"]]
            case "scalar":
                return [({}, float(data["result"][1]))]
            case kind:
                raise QueryError(f"the expression gives a {kind}, not an instant vector")

    def range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> list[Line]:
        """Labels and (ms, value) points of every series on a grid."""
        parameters = {
            "query": expression,
            "start": str(seconds(start_ms)),
            "end": str(seconds(end_ms)),
            "step": str(seconds(step_ms)),
        }
        return [
            (item["metric"], [(round(at * 1000), float(value)) for at, value in item["values"]])
            for item in self.data("query_range", parameters)["result"]
        ]

    def data(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        """The `data` member of the answer of `/api/v1/<endpoint>`, as JSON gives it."""
        status, body = self._post(f"/api/v1/{endpoint}", urlencode(parameters))
        if status in (401, 403):
            raise DeniedError(
                "the server refuses the token",
                zh="服务器拒绝了访问令牌；请用 zhishou token create --scope read 新建一个",
                where=self._where,
                hint="create one with `zhishou token create --scope read`",
            )
        try:
            answer = orjson.loads(body)
            if answer["status"] == "success":
                return answer["data"]
            raise QueryError(str(answer["error"]), kind=str(answer["errorType"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise self._unreachable(f"status {status}, and not a Prometheus answer") from None

    @property
    def _where(self) -> str:
        return str(self._base)

    def _post(self, path: str, body: str) -> tuple[int, bytes]:
        connection, prefix = self._connection()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request("POST", prefix + path, body.encode(), headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        if isinstance(self._base, Path):
            return _UnixConnection(self._base, self._timeout), "/prometheus"
        url = urlsplit(self._base)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise self._unreachable("not an http:// or https:// URL")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname, url.port, timeout=self._timeout), url.path.rstrip("/")

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(
            f"no answer from the metrics service: {reason}",
            zh=f"{self._where}：指标服务没有应答（{reason}）；请检查服务是否已启动",
            where=self._where,
            hint="is it running? (`zhishou up`)",
        )

"""Asking a Prometheus-compatible API: ours over the core's Unix socket, or any server over HTTP."""

from __future__ import annotations

import http.client
import socket
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from monitor.errors import DeniedError, UnreachableError
from monitor.metrics.errors import QueryError
from monitor.metrics.notation import seconds

Series = dict[str, str]
Sample = tuple[Series, float]
Line = tuple[Series, list[tuple[int, float]]]

_TIMEOUT_SECONDS = 35.0
_MAX_ANSWER = 512 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The `data` member of an answer as JSON gives it, and what the server remarked on it."""

    data: Any
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()


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

    def series(self, selectors: Sequence[str], start_ms: int, end_ms: int) -> list[Series]:
        """The label sets that match any of the selectors."""
        found: list[Series] = self.data("series", _window(start_ms, end_ms, selectors))
        return found

    def label_names(self, start_ms: int, end_ms: int, selectors: Sequence[str] = ()) -> list[str]:
        """Sorted names, over everything or the series that match any of the selectors."""
        found: list[str] = self.data("labels", _window(start_ms, end_ms, selectors))
        return found

    def label_values(self, name: str, start_ms: int, end_ms: int, selectors: Sequence[str] = ()) -> list[str]:
        """Sorted values of one label, over everything or the series that match any of the selectors."""
        path = f"/api/v1/label/{quote(name, safe='')}/values"
        query = urlencode(_window(start_ms, end_ms, selectors), doseq=True)
        found: list[str] = self._answer(*self._exchange("GET", f"{path}?{query}", "")).data
        return found

    def data(self, endpoint: str, parameters: Mapping[str, str | Sequence[str]]) -> Any:
        """The `data` member of the answer of `/api/v1/<endpoint>`, as JSON gives it."""
        return self.ask(endpoint, parameters).data

    def ask(self, endpoint: str, parameters: Mapping[str, str | Sequence[str]]) -> Answer:
        """The answer of `/api/v1/<endpoint>` with the server's warnings."""
        body = urlencode(parameters, doseq=True)
        return self._answer(*self._exchange("POST", f"/api/v1/{endpoint}", body))

    def _answer(self, status: int, body: bytes) -> Answer:
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
                return Answer(answer["data"], answer.get("warnings") or (), answer.get("infos") or ())
            raise QueryError(str(answer["error"]), kind=str(answer["errorType"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise self._unreachable(f"status {status}, and not a Prometheus answer") from None

    @property
    def _where(self) -> str:
        return str(self._base)

    def _exchange(self, method: str, path: str, body: str) -> tuple[int, bytes]:
        connection, prefix = self._connection()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if not isinstance(self._base, Path):
            headers["Accept-Encoding"] = "gzip"
        try:
            connection.request(method, prefix + path, body.encode(), headers)
            answer = connection.getresponse()
            raw = answer.read(_MAX_ANSWER)
            return answer.status, self._unpacked(raw) if answer.getheader(
                "Content-Encoding"
            ) == "gzip" else raw
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _unpacked(self, raw: bytes) -> bytes:
        stream = zlib.decompressobj(wbits=31)
        try:
            body = stream.decompress(raw, _MAX_ANSWER)
        except zlib.error as error:
            raise self._unreachable(f"the answer is not gzip: {error}") from None
        if not stream.eof:
            raise self._unreachable(f"the answer is cut off, or longer than {_MAX_ANSWER} bytes")
        return body

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


def _window(start_ms: int, end_ms: int, selectors: Sequence[str]) -> dict[str, str | Sequence[str]]:
    return {"start": str(seconds(start_ms)), "end": str(seconds(end_ms)), "match[]": list(selectors)}

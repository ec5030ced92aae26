"""Asking the back end's PromQL API, with its answers as our own results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Labels,
    Limits,
    Matcher,
    MatchOp,
    Matrix,
    RawMatrix,
    Result,
    Scalar,
    Text,
    Vector,
    make_labels,
)
from monitor.metrics.notation import seconds
from monitor.metrics.remote.backend import Access, Backend, BackendError

_KINDS = frozenset({"bad_data", "execution", "timeout", "canceled", "unavailable", "not_found"})
_GATEWAYS = frozenset({502, 503, 504})
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class RemoteError(QueryError):
    """The back end did not answer a question, or refused it; the text says which back end it was."""

    def __init__(self, name: str, reason: str, kind: str) -> None:
        super().__init__(f"long-range back end {name}: {reason}", kind=kind)
        self.where = name
        self.zh = f"长期存储后端 {name} 未能回答查询：{reason}"


class RemoteQueries:
    """One PromQL API. A connection a question, so that it may be used from any thread. Raises RemoteError."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def name(self) -> str:
        """The address for messages."""
        return Backend(self._access).name

    def instant(self, expression: str, at_ms: int, limits: Limits, lookback_ms: int) -> Result:
        """The value at one time."""
        parameters = {"query": expression, "time": str(seconds(at_ms)), **_lookback(lookback_ms)}
        data = self._data("/query", parameters, limits.seconds)
        try:
            return _result(data["resultType"], data["result"], at_ms)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._unusable(error) from error

    def range(
        self,
        expression: str,
        grid: tuple[int, int, int],
        limits: Limits,
        lookback_ms: int,
    ) -> Matrix:
        """The values on a grid: start, end, step in ms."""
        start, end, step = grid
        parameters = {
            "query": expression,
            "start": str(seconds(start)),
            "end": str(seconds(end)),
            "step": str(seconds(step)),
            # VictoriaMetrics would round start and end for its cache, and remember what was not there yet.
            "nocache": "1",
            **_lookback(lookback_ms),
        }
        data = self._data("/query_range", parameters, limits.seconds)
        try:
            return _matrix(data["result"], grid)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._unusable(error) from error

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """The label sets of matching series."""
        found = self._found("/series", matchers, start_ms, end_ms)
        return [make_labels(item) for item in found if isinstance(item, Mapping)]

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Label names of the matching series."""
        return [str(name) for name in self._found("/labels", matchers, start_ms, end_ms)]

    def label_values(self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Values of one label over the matching series."""
        path = f"/label/{quote(name, safe='')}/values"
        return [str(value) for value in self._found(path, matchers, start_ms, end_ms)]

    def _found(self, path: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Any]:
        parameters = {"start": str(seconds(start_ms)), "end": str(seconds(end_ms))}
        if matchers:
            parameters["match[]"] = selector_text(matchers)
        data = self._data(path, parameters, self._access.timeout)
        if not isinstance(data, list):
            raise self._unusable(TypeError("not a list"))
        return data

    def _data(self, path: str, parameters: Mapping[str, str], within: float) -> Any:
        """The `data` member of an answer."""
        timeout = min(self._access.timeout, within)
        backend = Backend(replace(self._access, timeout=timeout))
        # Prometheus takes label values by GET alone; the others take both, and long expressions need POST.
        method = "GET" if path.startswith("/label/") else "POST"
        try:
            answer = backend.ask(
                method, f"/api/v1{path}", urlencode({**parameters, "timeout": f"{timeout:g}s"}), _FORM
            )
        except BackendError as error:
            raise RemoteError(self.name, error.message, "unavailable") from error
        finally:
            backend.close()
        try:
            document = orjson.loads(answer.body)
            if document["status"] == "success":
                return document["data"]
            kind = document.get("errorType", "")
            reason = str(document["error"])[:1000]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            kind = "unavailable" if answer.status in _GATEWAYS else ""
            reason = f"status {answer.status} {answer.text}".strip()
        raise RemoteError(self.name, reason, kind if kind in _KINDS else "execution")

    def _unusable(self, error: Exception) -> RemoteError:
        return RemoteError(self.name, f"an answer that cannot be used: {error!r}", "execution")


def selector_text(matchers: Sequence[Matcher]) -> str:
    """Matchers as PromQL text."""
    return "{" + ",".join(f"{m.name}{MatchOp(m.op).value}{_quoted(m.value)}" for m in matchers) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _lookback(lookback_ms: int) -> dict[str, str]:
    # Prometheus calls it lookback_delta, VictoriaMetrics max_lookback; each ignores the other's name.
    text = f"{seconds(lookback_ms)}s"
    return {"lookback_delta": text, "max_lookback": text}


def _result(kind: str, result: Any, at_ms: int) -> Result:
    match kind:
        case "vector":
            values = np.array([float(item["value"][1]) for item in result], np.float64)
            return Vector(at_ms, [make_labels(item["metric"]) for item in result], values)
        case "scalar":
            return Scalar(at_ms, float(result[1]))
        case "string":
            return Text(at_ms, str(result[1]))
        case "matrix":
            return RawMatrix(sorted((_raw(item) for item in result), key=lambda series: series[0]))
    raise ValueError(f"result type {kind!r}")


def _raw(item: Any) -> tuple[Labels, Any, Any]:
    times, values = _points(item)
    return make_labels(item["metric"]), times, values


def _points(item: Any) -> tuple[Any, Any]:
    points = item["values"]
    times = np.array([round(point[0] * 1000) for point in points], np.int64)
    return times, np.array([float(point[1]) for point in points], np.float64)


def _matrix(result: Any, grid: tuple[int, int, int]) -> Matrix:
    start, end, step = grid
    steps = np.arange(start, end + 1, step, dtype=np.int64)
    series = sorted(((make_labels(item["metric"]), item) for item in result), key=lambda one: one[0])
    values = np.full((len(steps), len(series)), np.nan)
    present = np.zeros(values.shape, np.bool_)
    for column, (_, item) in enumerate(series):
        times, numbers = _points(item)
        rows, beside = np.divmod(times - start, step)
        if beside.any() or (len(rows) and (rows.min() < 0 or rows.max() >= len(steps))):
            raise ValueError("points beside the grid")
        values[rows, column] = numbers
        present[rows, column] = True
    return Matrix([labels for labels, _ in series], steps, values, present)

"""The Prometheus HTTP API under /prometheus/api/v1: queries, metadata and rules; remote write is write_http.

Answers are Prometheus's own JSON, so that promtool, Grafana and every other client work unchanged. Rules and
alerts come from `app.extensions["zhishou.rules"]`, a `RuleSource` that the alerting service puts there.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, TypeVar

import orjson
import structlog
from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException

from monitor.clock import Clock
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import (
    Labels,
    Limits,
    Matcher,
    Matrix,
    MetricStore,
    QueryEngine,
    RawMatrix,
    Result,
    Scalar,
    Text,
    Vector,
)
from monitor.metrics.notation import duration_ms, number, seconds, time_ms
from monitor.metrics.promql.compile import pretty, selector_matchers
from monitor.metrics.write_http import Sites, add_write

log = structlog.get_logger(__name__)

PREFIX = "/prometheus/api/v1"
RULES_EXTENSION = "zhishou.rules"
API_LEVEL = "3.0.0"  # The Prometheus whose API and PromQL this is; clients choose their requests by it.
_STATUS = MappingProxyType(
    {"bad_data": 400, "execution": 422, "timeout": 503, "unavailable": 503, "not_found": 404}
)
_GZIP_FROM = 2048
_DAY_MS = 86_400_000

Item = TypeVar("Item")
Targets = Callable[[], Sequence[Mapping[str, object]]]


class RuleSource(Protocol):
    """What the alert engine knows, in the shape of Prometheus's JSON."""

    def groups(self) -> Sequence[Mapping[str, object]]:
        """The rule groups, as in `/api/v1/rules`."""
        ...

    def alerts(self) -> Sequence[Mapping[str, object]]:
        """The active alerts, as in `/api/v1/alerts`."""
        ...


def prometheus_api(
    store: MetricStore, queries: QueryEngine, clock: Clock, *, targets: Targets, sites: Sites | None = None
) -> Blueprint:
    """The blueprint of the API over one store and engine. `sites`: which ones given collectors may write of."""
    api = _Api(store, queries, clock, targets)
    blueprint = Blueprint("prometheus", __name__, url_prefix=PREFIX)
    both = ["GET", "POST"]
    for rule, view, methods in (
        ("/query", api.query, both),
        ("/query_range", api.query_range, both),
        ("/series", api.series, both),
        ("/labels", api.labels, both),
        ("/label/<name>/values", api.label_values, ["GET"]),
        ("/format_query", api.format_query, both),
        ("/metadata", api.metadata, ["GET"]),
        ("/rules", api.rules, ["GET"]),
        ("/alerts", api.alerts, ["GET"]),
        ("/targets", api.targets, ["GET"]),
        ("/status/buildinfo", api.buildinfo, ["GET"]),
    ):
        blueprint.add_url_rule(rule, view.__name__, view, methods=methods)
    add_write(blueprint, store, sites=sites)
    blueprint.register_error_handler(QueryError, _refused)
    blueprint.register_error_handler(Exception, _failed)
    return blueprint


class _Api:
    """The views; every one reads `request` and answers JSON."""

    def __init__(self, store: MetricStore, queries: QueryEngine, clock: Clock, targets: Targets) -> None:
        self._store = store
        self._queries = queries
        self._clock = clock
        self._targets = targets

    def query(self) -> Response:
        """One instant."""
        at = request.values.get("time")
        at_ms = time_ms(at, "time") if at else self._clock.now_ms()
        return _success(result_json(self._queries.instant(_parameter("query"), at_ms, _limits())))

    def query_range(self) -> Response:
        """A range on a grid."""
        start, end = time_ms(_parameter("start"), "start"), time_ms(_parameter("end"), "end")
        step = duration_ms(_parameter("step"), "step")
        matrix = self._queries.range(_parameter("query"), start, end, step, _limits())
        return _success(matrix_json(matrix))

    def series(self) -> Response:
        """Label sets of the series that match any of `match[]`."""
        selections = self._selections()
        if not selections:
            raise QueryError("no match[] parameter provided")
        start, end = self._interval()
        found: set[Labels] = set()
        for matchers in selections:
            found.update(self._store.series(matchers, start, end))
        return _success([dict(labels) for labels in _limited(sorted(found))])

    def labels(self) -> Response:
        """Label names, over everything or the series that match any of `match[]`."""
        start, end = self._interval()
        found: set[str] = set()
        for matchers in self._selections() or [()]:
            found.update(self._store.label_names(matchers, start, end))
        return _success(_limited(sorted(found)))

    def label_values(self, name: str) -> Response:
        """Values of one label, over everything or the series that match any of `match[]`."""
        start, end = self._interval()
        found: set[str] = set()
        for matchers in self._selections() or [()]:
            found.update(self._store.label_values(name, matchers, start, end))
        return _success(_limited(sorted(found)))

    def format_query(self) -> Response:
        """The expression, laid out."""
        return _success(pretty(_parameter("query"), Limits()))

    def metadata(self) -> Response:
        """Types and help texts of metrics: none are kept, and none are guessed."""
        return _success({})

    def rules(self) -> Response:
        """Rule groups; `type=alert|record` keeps only those rules."""
        source = _rule_source()
        groups = list(source.groups()) if source else []
        wanted = {"alert": "alerting", "record": "recording"}.get(request.args.get("type", ""))
        if wanted:
            groups = [{**group, "rules": _of_type(group.get("rules"), wanted)} for group in groups]
        return _success({"groups": groups})

    def alerts(self) -> Response:
        """Active alerts."""
        source = _rule_source()
        return _success({"alerts": list(source.alerts()) if source else []})

    def targets(self) -> Response:
        """What is polled, and whether it answered."""
        return _success({"activeTargets": list(self._targets()), "droppedTargets": []})

    def buildinfo(self) -> Response:
        """Which Prometheus this is like."""
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return _success({"version": API_LEVEL, **empty, "application": "zhishou"})

    def _interval(self) -> tuple[int, int]:
        start, end = request.values.get("start"), request.values.get("end")
        first = time_ms(start, "start") if start else 0
        last = time_ms(end, "end") if end else self._clock.now_ms() + _DAY_MS
        if last < first:
            raise QueryError('invalid parameter "end": end timestamp must not be before start timestamp')
        return first, last

    def _selections(self) -> list[tuple[Matcher, ...]]:
        return [selector_matchers(text, Limits()) for text in request.values.getlist("match[]")]


def _rule_source() -> RuleSource | None:
    source: RuleSource | None = current_app.extensions.get(RULES_EXTENSION)
    return source


def _of_type(rules: object, wanted: str) -> list[object]:
    found = rules if isinstance(rules, list) else []
    return [rule for rule in found if isinstance(rule, Mapping) and rule.get("type") == wanted]


def _parameter(name: str) -> str:
    value = request.values.get(name)
    if value is None or not value.strip():
        raise QueryError(f'invalid parameter "{name}": it is missing or empty')
    return value


def _limits() -> Limits:
    limits = Limits()
    timeout = request.values.get("timeout")
    if not timeout:
        return limits
    return replace(limits, seconds=min(limits.seconds, duration_ms(timeout, "timeout") / 1000))


def _limited(found: Sequence[Item]) -> Sequence[Item]:
    limit = request.values.get("limit", "")
    if limit and not limit.isdecimal():
        raise QueryError(f'invalid parameter "limit": {limit!r} is not a whole number')
    return found[: int(limit)] if limit and int(limit) else found


def result_json(result: Result) -> Mapping[str, object]:
    """An instant query's result as Prometheus's `data`."""
    match result:
        case Vector(at_ms=at, labels=labels, values=values):
            moment = seconds(at)
            found: list[object] = [
                {"metric": dict(item), "value": [moment, number(value)]}
                for item, value in zip(labels, values.tolist(), strict=True)
            ]
            return {"resultType": "vector", "result": found}
        case Scalar(at_ms=at, value=value):
            return {"resultType": "scalar", "result": [seconds(at), number(value)]}
        case Text(at_ms=at, value=text):
            return {"resultType": "string", "result": [seconds(at), text]}
        case RawMatrix(series=series):
            found = [
                {"metric": dict(item), "values": _points(times.tolist(), values.tolist())}
                for item, times, values in series
            ]
            return {"resultType": "matrix", "result": found}


def matrix_json(matrix: Matrix) -> Mapping[str, object]:
    """A range query's result as Prometheus's `data`."""
    found = []
    for column, labels in enumerate(matrix.labels):
        there = matrix.present[:, column]
        points = _points(matrix.timestamps[there].tolist(), matrix.values[there, column].tolist())
        found.append({"metric": dict(labels), "values": points})
    return {"resultType": "matrix", "result": found}


def _points(times: Sequence[int], values: Sequence[float]) -> list[list[object]]:
    return [[seconds(at), number(value)] for at, value in zip(times, values, strict=True)]


def _success(data: object) -> Response:
    return _json({"status": "success", "data": data}, 200)


def _refused(error: QueryError) -> Response:
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    body = {"status": "error", "errorType": error.kind, "error": message}
    return _json(body, _STATUS.get(error.kind, 500))


def _failed(error: Exception) -> Response:
    """Whatever else goes wrong: logged here, and still JSON for the client."""
    if isinstance(error, HTTPException):
        answer = error.get_response()
        return Response(answer.get_data(), answer.status_code, dict(answer.headers))
    log.error("a request failed", path=request.path, exc_info=error)
    return _json({"status": "error", "errorType": "internal", "error": type(error).__name__}, 500)


def _json(body: Mapping[str, object], status: int) -> Response:
    raw = orjson.dumps(body)
    headers = {"Vary": "Accept-Encoding"}
    if len(raw) >= _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        raw = gzip.compress(raw, 1)
        headers["Content-Encoding"] = "gzip"
    return Response(raw, status, headers, content_type="application/json")

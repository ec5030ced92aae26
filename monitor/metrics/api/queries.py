"""`query`, `query_range`, `query_exemplars` and `format_query`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import orjson
from flask import Response

from monitor.metrics.api.answers import success
from monitor.metrics.api.arguments import Arguments, read_arguments
from monitor.metrics.api.encoding import matrix_json, result_json
from monitor.metrics.api.parts import TRUNCATED, Parts, client_gone
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, Matrix, QueryControl, QueryReport, RawMatrix, Result, Vector
from monitor.metrics.promql.compile import pretty

MOST_POINTS = 8_000_000  # of one answer: some 300 MB of JSON
Found = TypeVar("Found", Result, Matrix)


@dataclass(frozen=True, slots=True)
class QueryViews:
    """The views; each reads the current request."""

    parts: Parts

    def query(self) -> Response:
        """One instant."""
        arguments = read_arguments()
        at = arguments.time_ms("time", self.parts.clock.now_ms())
        query = arguments.required("query")

        def evaluate(limits: Limits, control: QueryControl) -> Result:
            return self.parts.queries.instant(query, at, limits, control)

        return self._answer(arguments, evaluate, _short_result, result_json)

    def query_range(self) -> Response:
        """A range on a grid."""
        arguments = read_arguments()
        start, end = arguments.time_ms("start"), arguments.time_ms("end")
        step = arguments.duration_ms("step")
        query = arguments.required("query")

        def evaluate(limits: Limits, control: QueryControl) -> Matrix:
            return self.parts.queries.range(query, start, end, step, limits, control)

        return self._answer(arguments, evaluate, _short_matrix, matrix_json)

    def query_exemplars(self) -> Response:
        """Exemplars are not kept, so there are none of any expression."""
        arguments = read_arguments()
        start, end = arguments.interval(self.parts.clock.now_ms())
        if end < start:
            raise QueryError("end timestamp must not be before start timestamp")
        self.parts.queries.compile(arguments.required("query"))
        return success([])

    def format_query(self) -> Response:
        """The expression, laid out."""
        return success(pretty(read_arguments().required("query"), self.parts.limits))

    def _answer(
        self,
        arguments: Arguments,
        evaluate: Callable[[Limits, QueryControl], Found],
        shorten: Callable[[Found, int], tuple[Found, bool]],
        encode: Callable[[Found], bytes],
    ) -> Response:
        limits = self._limits(arguments)
        control = QueryControl(cancelled=client_gone())
        if (lookback := arguments.duration_ms("lookback_delta", 0)) > 0:
            control = replace(control, lookback_ms=lookback)
        most = arguments.limit()
        with self.parts.place() as waited:
            started = time.monotonic()
            found, truncated = shorten(evaluate(limits, control), most)
            spent = time.monotonic() - started
            _check_size(found)
            data = encode(found)
        if truncated:
            control.report.warn(TRUNCATED)
        if arguments.text("stats"):
            data = data[:-1] + b',"stats":' + _stats(control.report, waited, spent) + b"}"
        return success(data, warnings=control.report.warnings, infos=control.report.infos)

    def _limits(self, arguments: Arguments) -> Limits:
        limits = self.parts.limits
        if not arguments.text("timeout"):
            return limits
        return replace(limits, seconds=min(limits.seconds, arguments.duration_ms("timeout") / 1000))


def _check_size(found: Result | Matrix) -> None:
    points = 0
    if isinstance(found, Matrix):
        points = int(np.count_nonzero(found.present))
    elif isinstance(found, RawMatrix):
        points = sum(len(times) for _, times, _ in found.series)
    if points > MOST_POINTS:
        raise QueryError(
            f"the answer would have {points:,} points, at most {MOST_POINTS:,} are sent",
            kind="execution",
            hint="ask for fewer series, a shorter time or a longer step",
        )


def _short_result(result: Result, most: int) -> tuple[Result, bool]:
    match result:
        case Vector(labels=labels, values=values) if 0 < most < len(labels):
            return replace(result, labels=labels[:most], values=values[:most]), True
        case RawMatrix(series=series) if 0 < most < len(series):
            return RawMatrix(series[:most]), True
    return result, False


def _short_matrix(matrix: Matrix, most: int) -> tuple[Matrix, bool]:
    if not 0 < most < len(matrix.labels):
        return matrix, False
    columns = np.s_[:, :most]
    return (
        Matrix(matrix.labels[:most], matrix.timestamps, matrix.values[columns], matrix.present[columns]),
        True,
    )


def _stats(report: QueryReport, waited: float, spent: float) -> bytes:
    return orjson.dumps(
        {
            "timings": {
                "evalTotalTime": spent,
                "execQueueTime": waited,
                "execTotalTime": waited + spent,
            },
            "samples": {"totalQueryableSamples": report.samples},
        }
    )

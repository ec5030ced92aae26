"""Questions to Debian's VictoriaMetrics and Prometheus: their answers are our own engine's."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from monitor.metrics.interface import (
    Labels,
    Limits,
    Matcher,
    MatchOp,
    QueryControl,
    RawMatrix,
    Scalar,
    Text,
    Vector,
    block_of,
    make_labels,
)
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.backend import Access, Backend
from monitor.metrics.remote.longrange import Held, LongRangeQueries
from monitor.metrics.remote.queries import RemoteError, RemoteQueries, selector_text
from monitor.metrics.remote_write import CONTENT_TYPE, encode
from tests.monitor.metrics.remote.servers import Prometheus, Server, VictoriaMetrics
from tests.real.sshd import free_port

SERVERS = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.skipif(not kind.installed(), reason="not installed"))
    for kind in (VictoriaMetrics, Prometheus)
]
MINUTE = 60_000
ODD = 'a"b\\c 医院'
HEADERS = {"Content-Type": CONTENT_TYPE, "Content-Encoding": "snappy"}
SAME_EVERYWHERE = (
    "gauge",
    "sum by (site) (gauge)",
    "gauge > 3",
    "count(gauge) by (device)",
    "max_over_time(gauge[10m])",
    "gauge / on (device) group_left () (gauge + 1)",
    "gauge offset 10m",
    "sum(counter_total)",
    "abs(gauge - 2.5) * 1e-3",
)


@dataclass(frozen=True)
class Filled:
    """A server and our own store with the same samples, from `start` to `end`."""

    remote: RemoteQueries
    store: MemoryStore
    start: int
    end: int


@pytest.fixture(scope="module", params=SERVERS)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    server: Server = request.param(tmp_path_factory.mktemp("server"))
    server.start()
    backend = Backend(Access(server.url + server.write_path))
    try:
        end = int(time.time()) * 1000 // MINUTE * MINUTE - MINUTE
        start = end - 50 * MINUTE
        store = MemoryStore()
        for at in range(start, end + 1, MINUTE):
            step = (at - start) // MINUTE
            block = block_of(
                (make_labels({"device": device, "site": f"s{i % 2}"}, name), at, value)
                for i, device in enumerate(("d0", "d1", ODD))
                for name, value in (("gauge", step % 7 + i / 4), ("counter_total", float(step * (i + 1))))
            )
            store.append(block)
            assert backend.post("", encode(block), HEADERS).status == 204
        server.flush()
        remote = RemoteQueries(Access(server.url))
        wait_for(remote, end)
        yield Filled(remote, store, start, end)
    finally:
        backend.close()
        server.kill()


def wait_for(remote: RemoteQueries, at: int) -> None:
    """Until the newest samples can be found."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        found = remote.instant("count(timestamp(counter_total) > bool 0)", at, Limits(), MINUTE - 1)
        if isinstance(found, Vector) and found.values.tolist() == [6 / 2]:
            return
        time.sleep(0.2)
    pytest.fail("the samples do not turn up")


def by_labels(found: Vector) -> Mapping[Labels, float]:
    return {tuple(labels): value for labels, value in zip(found.labels, found.values.tolist(), strict=True)}


@pytest.mark.parametrize("expression", SAME_EVERYWHERE)
def test_answers_are_those_of_our_engine(filled: Filled, expression: str) -> None:
    local = PromqlEngine(filled.store)
    remote = filled.remote
    at = filled.end - 30_000
    found, expected = remote.instant(expression, at, Limits(), 5 * MINUTE), local.instant(expression, at)
    assert isinstance(found, Vector)
    assert isinstance(expected, Vector)
    mine = by_labels(expected)
    theirs = {
        labels if labels in mine else tuple(pair for pair in labels if pair[0] != "__name__"): value
        for labels, value in by_labels(found).items()
    }
    assert theirs == pytest.approx(mine)
    grid = filled.start + 15 * MINUTE + 30_000, filled.end - 30_000, 90_000
    matrix = remote.range(expression, grid, Limits(), 5 * MINUTE)
    oracle = local.range(expression, *grid)
    assert matrix.timestamps.tolist() == oracle.timestamps.tolist()
    assert (matrix.present == oracle.present).all()
    assert matrix.values[matrix.present] == pytest.approx(oracle.values[oracle.present])


def test_other_kinds_of_results(filled: Filled) -> None:
    remote, at = filled.remote, filled.end
    raw = remote.instant('gauge{device="d1"}[10m]', at, Limits(), 5 * MINUTE)
    assert isinstance(raw, RawMatrix)
    ((labels, times, values),) = raw.series
    assert dict(labels)["device"] == "d1"
    assert times.tolist()[-3:] == [at - 2 * MINUTE, at - MINUTE, at]
    assert len(values) == len(times)
    for expression, number in (("1 / 3", 1 / 3), ("-1 / 0", -math.inf)):
        found = remote.instant(expression, at, Limits(), 5 * MINUTE)
        if isinstance(found, Vector):  # VictoriaMetrics has no scalars of its own
            assert found.values.tolist() == [number]
        else:
            assert found == Scalar(at, number)
    text = remote.instant('"医院"', at, Limits(), 5 * MINUTE)
    assert isinstance(text, Text | Vector)
    empty = remote.range("nothing", (filled.start, filled.end, MINUTE), Limits(), 5 * MINUTE)
    assert empty.values.shape == (51, 0)


def test_series_and_labels(filled: Filled) -> None:
    remote, span = filled.remote, (filled.start, filled.end)
    odd = [Matcher("__name__", MatchOp.RE, "gau.*"), Matcher("device", MatchOp.EQ, ODD)]
    assert remote.series(odd, *span) == [make_labels({"device": ODD, "site": "s0"}, "gauge")]
    assert sorted(remote.label_names([], *span)) == ["__name__", "device", "site"]
    assert sorted(remote.label_values("device", odd[:1], *span)) == sorted(["d0", "d1", ODD])
    assert selector_text(odd) == '{__name__=~"gau.*",device="a\\"b\\\\c 医院"}'


def test_a_range_is_put_together_from_both(filled: Filled) -> None:
    held = filled.start + 25 * MINUTE
    near = MemoryStore()
    for at in range(held, filled.end + 1, MINUTE):
        window = filled.store.window([Matcher("__name__", MatchOp.NE, "")], at - 1, at)
        near.append(
            block_of((labels, at, float(window.values[0, i])) for i, labels in enumerate(window.labels))
        )
    queries = LongRangeQueries(PromqlEngine(near), filled.remote, lambda: Held(held, 0), lambda: 0)
    control = QueryControl()
    grid = filled.start + 15 * MINUTE + 30_000, filled.end - 30_000, 60_000
    found = queries.range("sum by (site) (max_over_time(gauge[10m]))", *grid, control=control)
    expected = PromqlEngine(filled.store).range("sum by (site) (max_over_time(gauge[10m]))", *grid)
    assert found.present.all()
    assert np.allclose(found.values, expected.values)
    assert filled.remote.name in control.report.infos[0]


def test_what_the_back_end_refuses_is_told_in_its_words(filled: Filled) -> None:
    with pytest.raises(RemoteError, match=r"long-range back end http://127\.0\.0\.1:\d+: .") as caught:
        filled.remote.instant("sum(", filled.end, Limits(), MINUTE)
    assert caught.value.kind in ("bad_data", "execution")
    assert "长期存储后端" in caught.value.zh


def test_a_dead_back_end_is_told_by_name() -> None:
    remote = RemoteQueries(Access(f"http://127.0.0.1:{free_port()}", timeout=2.0))
    with pytest.raises(RemoteError, match=r"long-range back end http://127\.0\.0\.1") as caught:
        remote.instant("up", 0, Limits(), MINUTE)
    assert caught.value.kind == "unavailable"

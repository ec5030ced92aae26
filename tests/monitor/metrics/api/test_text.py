"""Exposition text out (`/federate`) and in (`import/prometheus`), read by prometheus_client and by promtool."""

from __future__ import annotations

import gzip
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from monitor.clock import ManualClock
from monitor.metrics.api.exposition import OPENMETRICS, PROMETHEUS, accepted, write_text
from monitor.metrics.api.imports import MAX_TEXT
from monitor.metrics.errors import StorageError
from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import AppendResult, Matcher, MatchOp, SampleBlock, make_labels
from monitor.metrics.latest import Newest, newest
from monitor.metrics.memory import MemoryStore
from monitor.metrics.metadata import MetricInfo, MetricMetadata, MetricType
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from monitor.service import Runtime

IMPORT = "/prometheus/api/v1/import/prometheus"
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not name.startswith("__")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    st.dictionaries(
        st.tuples(NAMES, st.dictionaries(NAMES, TEXTS, max_size=3).map(lambda d: tuple(d.items()))),
        st.tuples(st.integers(0, 1 << 45), st.floats(allow_nan=False)),
        max_size=6,
    )
)
def test_what_is_written_can_be_read_back(
    series: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, float]],
) -> None:
    labels = [make_labels(dict(own), name) for name, own in series]
    samples = Newest(
        labels,
        np.array([at for at, _ in series.values()], np.int64),
        np.array([value for _, value in series.values()]),
    )
    expected = dict(zip(labels, series.values(), strict=True))
    for form, parse in ((PROMETHEUS, prometheus), (OPENMETRICS, openmetrics)):
        found = {
            make_labels(sample.labels, sample.name): (
                round(float(sample.timestamp) * 1000),
                float(sample.value),
            )
            for family in parse(write_text([samples, samples], form))
            for sample in family.samples
        }
        assert found == expected


def test_names_that_the_formats_do_not_know_are_replaced() -> None:
    labels = make_labels({"机房": "a", "9": "b"}, "温度.c")
    text = write_text([Newest([labels], np.array([1], np.int64), np.array([2.5]))], PROMETHEUS)
    assert text == '# TYPE ___c untyped\n___c{_9="b",__="a"} 2.5 1\n'


def test_which_format_is_asked_for() -> None:
    assert accepted("") is PROMETHEUS
    assert accepted("*/*") is PROMETHEUS
    assert (
        accepted("text/plain;version=0.0.4;q=0.5,application/openmetrics-text; version=1.0.0;q=1")
        is OPENMETRICS
    )
    assert accepted("application/openmetrics-text;q=0, text/plain") is PROMETHEUS


def test_federation(client: FlaskClient, runtime: Runtime) -> None:
    now = runtime.clock.now_ms()
    answer = client.get('/prometheus/federate?match[]=up&match[]={device="d1",__name__="up"}')
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text == (
        "# TYPE up untyped\n"
        f'up{{device="d0",instance="10.0.0.0",job="snmp"}} 0 {now}\n'
        f'up{{device="d1",instance="10.0.0.1",job="snmp"}} 1 {now}\n'
    )
    packed = client.get(
        '/prometheus/federate?match[]={job="snmp"}',
        headers={"Accept": "application/openmetrics-text"},
    )
    assert packed.text.endswith("# EOF\n")
    assert len(list(openmetrics(packed.text))) == 4
    assert client.get("/prometheus/federate").text == ""
    assert client.get("/prometheus/federate?match[]=rate(up[5m])").status_code == 400


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reads_the_federation(client: FlaskClient) -> None:
    text = client.get('/prometheus/federate?match[]={job="snmp"}').text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    # Its remarks are about missing help texts; what it cannot parse it calls an error.
    assert "error while linting" not in done.stderr + done.stdout
    assert "no help text" in done.stdout + done.stderr


def values(runtime: Runtime, name: str) -> dict[tuple[tuple[str, str], ...], tuple[int, float]]:
    window = runtime.store.window([Matcher("__name__", MatchOp.EQ, name)], 0, runtime.clock.now_ms())
    found = newest(window)
    points = zip(found.times.tolist(), found.values.tolist(), strict=True)
    return dict(zip(found.labels, points, strict=True))


def test_text_is_taken_in(client: FlaskClient, runtime: Runtime, metadata: MetricMetadata) -> None:
    text = '# HELP jobs_total Jobs\n# TYPE jobs_total counter\njobs_total{q="a"} 3\njobs_total{q="b"} +Inf 1000\n'
    answer = client.post(f"{IMPORT}?extra_label=site=H1&timestamp=5000", data=text)
    assert answer.status_code == 204, answer.text
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "2"
    found = values(runtime, "jobs_total")
    assert found[make_labels({"q": "a", "site": "H1"}, "jobs_total")] == (5000, 3.0)
    assert found[make_labels({"q": "b", "site": "H1"}, "jobs_total")] == (1000, math.inf)
    assert metadata.about("jobs_total") == MetricInfo(MetricType.COUNTER, "Jobs")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_sends_text(address: str, runtime: Runtime) -> None:
    """It calls every body a form."""
    url = f"{address}/api/v1/import/prometheus?extra_label=a=b"
    argv = ["curl", "-sS", "--fail-with-body", "--data-binary", "@-", url]
    subprocess.run(argv, input=b'sent 1\nsent{c="d&e=f"} 2\n', timeout=30, check=True)
    assert {value for _, value in values(runtime, "sent").values()} == {1.0, 2.0}


def test_openmetrics_is_taken_in(client: FlaskClient, runtime: Runtime, metadata: MetricMetadata) -> None:
    text = (
        "# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n# HELP wait_seconds Waiting\n"
        'wait_seconds_bucket{le="0.5"} 1 1.25 # {trace="x"} 0.2\nwait_seconds_bucket{le="+Inf"} 2 1.25\n'
        "wait_seconds_sum 1.5 1.25\nwait_seconds_count 2 1.25\n# EOF\n"
    )
    headers = {"Content-Type": "application/openmetrics-text; version=1.0.0", "Content-Encoding": "gzip"}
    answer = client.post(IMPORT, data=gzip.compress(text.encode()), headers=headers)
    assert answer.status_code == 204, answer.text
    assert values(runtime, "wait_seconds_sum") == {make_labels({}, "wait_seconds_sum"): (1250, 1.5)}
    assert metadata.about("wait_seconds") == MetricInfo(MetricType.HISTOGRAM, "Waiting", "seconds")


def test_a_bound_collector_imports_for_its_own_sites_only(client: FlaskClient, runtime: Runtime) -> None:
    text = 'own{site="H1"} 1\nown{site="H2"} 2\nown 3\n'
    answer = client.post(IMPORT, data=text, headers={"X-Zhishou-Collector": "c1"})
    assert (answer.status_code, answer.text) == (400, "samples not stored: 1 site_of_another_collector\n")
    assert sorted(value for _, value in values(runtime, "own").values()) == [1.0, 3.0]


def cut(body: bytes) -> bytes:
    return gzip.compress(body)[:-4]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"m{ 1\n", {}, 400),
        (b"m 1 NaN\n", {}, 400),
        (b"m 1 1e300\n", {}, 400),
        (b"m \xff\n", {}, 400),
        (b"m one\n", {}, 400),
        (b"m 1\n", {"Content-Type": "application/openmetrics-text"}, 400),
        (b"m 1\n", {"Content-Encoding": "gzip"}, 400),
        (cut(b"m 1\n" * 100), {"Content-Encoding": "gzip"}, 400),
        (b"m 1\n", {"Content-Encoding": "br"}, 415),
        (gzip.compress(b"\n" * (MAX_TEXT + 1)), {"Content-Encoding": "gzip"}, 413),
        (b"\n" * (MAX_TEXT + 1), {}, 413),
    ],
    ids=lambda given: f"{given!r:.40}",
)
def test_what_is_no_text_is_refused_with_a_reason(
    client: FlaskClient, runtime: Runtime, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post(IMPORT, data=body, headers=headers)
    assert answer.status_code == status
    assert len(answer.text) > 10
    assert values(runtime, "m") == {}


def test_what_is_not_stored_is_told(tmp_path: Path, runtime: Runtime) -> None:
    at = runtime.clock.now_ms()
    store = LocalStore(tmp_path / "metrics", runtime.clock)
    app = Flask("local")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), runtime.clock, targets=list))
    first = app.test_client().post(IMPORT, data=f'c{{a="b"}} 1 {at}\nd 1\n')
    again = app.test_client().post(IMPORT, data=f'c{{a="b"}} 2 {at}\nd 1\n')
    store.close()
    assert first.status_code == 204
    assert again.status_code == 400
    assert again.text.startswith("samples not stored: 1 ")
    assert 'e.g. c{a="b"}' in again.text
    assert again.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"


def test_bad_parameters_are_refused(client: FlaskClient) -> None:
    for query in ("extra_label=x", "extra_label=__name__=x", "timestamp=soon", "extra_label=%ff=x"):
        assert client.post(f"{IMPORT}?{query}", data="m 1\n").status_code == 400, query


def test_a_full_disk_pushes_back(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: MemoryStore, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        assert durable
        raise StorageError("disk full")

    monkeypatch.setattr(MemoryStore, "append", full)
    answer = client.post(IMPORT, data="m 1\n")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def pieces() -> Iterator[str]:
    yield from (
        'm{a="b"} 1 2\n',
        "# TYPE m counter\n",
        "# HELP m x\\",
        "m_total 1e5\n",
        "# EOF\n",
        "{",
        "}",
        '"',
        "\\",
        "\n",
        "=",
        "NaN ",
        "\x00",
    )


@given(st.lists(st.sampled_from(list(pieces())), max_size=12).map("".join), st.booleans())
def test_no_text_breaks_the_reader(text: str, strict: bool) -> None:
    store = MemoryStore()
    app = Flask("fuzz")
    app.register_blueprint(prometheus_api(store, PromqlEngine(store), ManualClock(10_000), targets=list))
    kind = "application/openmetrics-text" if strict else "text/plain"
    answer = app.test_client().post(IMPORT, data=text.encode(), headers={"Content-Type": kind})
    assert answer.status_code in (204, 400)

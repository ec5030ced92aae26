"""The back end as part of the core: forwarding, its numbers, the doctor's line, and the API's long range."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask

from monitor.cli.doctor import doctor
from monitor.clock import SystemClock
from monitor.metrics.interface import block_of, make_labels
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.remote.backend import Access, Backend
from monitor.metrics.remote.cursor import Cursor, save_cursor
from monitor.metrics.remote.service import build, query_doors
from monitor.metrics.remote.status import forward_status
from monitor.metrics.remote_write import CONTENT_TYPE, encode
from monitor.metrics.service import MetricsService
from monitor.metrics.store import LocalStore
from monitor.service import Runtime
from monitor.settings import Settings
from tests.monitor.metrics.remote.servers import VictoriaMetrics
from tests.real.sshd import free_port

MINUTE = 60_000
needs_victoria = pytest.mark.skipif(not VictoriaMetrics.installed(), reason="Debian's victoria-metrics")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    made = VictoriaMetrics(tmp_path / "victoria")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def core(runtime: Runtime, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Makes runtimes over one local store, with settings of one's choice."""
    clock = SystemClock()
    store = LocalStore(tmp_path / "metrics", clock)

    def make(**chosen: str | int) -> Runtime:
        settings = replace(Settings(data=str(tmp_path)), **chosen)  # type: ignore[arg-type]
        return replace(runtime, settings=settings, clock=clock, store=store, queries=PromqlEngine(store))

    yield make
    store.close()


def numbers(runtime: Runtime) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for metric in runtime.registry.collect()
        for sample in metric.samples
        if sample.name.startswith("zhishou_remote_")
    }


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def poll(runtime: Runtime, at: int) -> None:
    block = block_of((make_labels({"device": f"d{i}"}, "polled"), at, float(i)) for i in range(5))
    assert runtime.store.append(block, durable=True).accepted == 5


@needs_victoria
def test_forwarding_runs_with_the_core_and_tells_how_it_is(
    core: Callable[..., Runtime], server: VictoriaMetrics
) -> None:
    runtime = core(remote_write_url=f"{server.url}/api/v1/write")
    service = build(runtime)
    assert service.blueprints() == []
    now = runtime.clock.now_ms()
    poll(runtime, now - MINUTE)
    service.start()
    try:
        wait_until(lambda: numbers(runtime)["zhishou_remote_samples_sent_total"] == 5)
        assert numbers(runtime)["zhishou_remote_up"] == 1
        assert numbers(runtime)["zhishou_remote_samples_dropped_totalrefused"] == 0
        server.flush()
        assert len(server.samples("polled", now, 120)) == 5
        wait_until(lambda: numbers(runtime)["zhishou_remote_pending_bytes"] == 0)
        status = forward_status(runtime.settings)
        assert status is not None
        assert status.fine
        assert status.detail == f"5 samples sent to {server.url}/api/v1/write, 0.0 MiB waiting"
        server.kill()
        poll(runtime, now)
        wait_until(lambda: numbers(runtime)["zhishou_remote_up"] == 0)
        assert numbers(runtime)["zhishou_remote_retries_total"] >= 1
        assert numbers(runtime)["zhishou_remote_pending_bytes"] > 0
        status = forward_status(runtime.settings)
        assert status is not None
        assert not status.fine
        assert "failing since" in status.detail
    finally:
        service.stop()
    assert numbers(runtime) == {}
    again = build(runtime)
    server.start()
    again.start()
    try:
        wait_until(lambda: numbers(runtime)["zhishou_remote_samples_sent_total"] == 10)
    finally:
        again.stop()
    server.flush()
    assert len(server.samples("polled", now, 120)) == 10


def test_the_doctor_says_when_the_back_end_takes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    url = "http://127.0.0.1:9/api/v1/write"
    (tmp_path / "zhishou.yml").write_text(f"remote_write_url: {url}\n")
    cursor = Cursor(url, sent=7, dropped={"expired": 3}, failure="no answer: refused", failing_since_ms=1)
    save_cursor(tmp_path / "metrics" / "remote", cursor)
    answer = CliRunner().invoke(doctor, ["--data", str(tmp_path), "--json"])
    assert answer.exit_code == 1
    (finding,) = [item for item in json.loads(answer.stdout) if item["subject"] == "metrics back end"]
    assert not finding["fine"]
    for text in ("7 samples sent", "3 expired", "failing since 1970-01-01", "no answer: refused"):
        assert text in finding["detail"]


def test_it_is_off_unless_wanted(core: Callable[..., Runtime]) -> None:
    runtime = core()
    service = build(runtime)
    service.start()
    assert numbers(runtime) == {}
    service.stop()
    assert forward_status(runtime.settings) is None
    assert query_doors(runtime) == (runtime.store, runtime.queries)
    kept = runtime.settings.folder / "metrics" / "wal" / "kept"
    kept.mkdir()
    (kept / "00000001.seg").write_bytes(bytes(3 << 20))
    status = forward_status(runtime.settings)
    assert status is not None
    assert not status.fine
    assert "3.0 MiB of samples still wait" in status.detail


def test_a_wrong_address_loses_nothing_and_is_told(core: Callable[..., Runtime]) -> None:
    runtime = core(remote_write_url="ftp://nowhere")
    service = build(runtime)
    service.start()
    try:
        poll(runtime, runtime.clock.now_ms())
        wait_until(lambda: "HOST" in (status.detail if (status := forward_status(runtime.settings)) else ""))
        assert numbers(runtime)["zhishou_remote_up"] == 0
        assert numbers(runtime)["zhishou_remote_pending_bytes"] > 0
    finally:
        service.stop()


def api(runtime: Runtime) -> Flask:
    app = Flask("test")
    for blueprint in MetricsService(runtime).blueprints():
        app.register_blueprint(blueprint)
    return app


@needs_victoria
def test_the_api_reaches_back_behind_what_we_hold(
    core: Callable[..., Runtime], server: VictoriaMetrics
) -> None:
    runtime = core(remote_query_url=server.url, retention_days=1)
    now = runtime.clock.now_ms() // MINUTE * MINUTE
    old = now - 3 * 86_400_000
    door = Backend(Access(server.url))
    for at in (old, now):
        block = block_of([(make_labels({"device": "retired" if at == old else "d0"}, "polled"), at, 7.0)])
        headers = {"Content-Type": CONTENT_TYPE, "Content-Encoding": "snappy"}
        assert door.post("/api/v1/write", encode(block), headers).status == 204
    door.close()
    server.flush()
    for at in (now - 10 * MINUTE, now):
        runtime.store.append(block_of([(make_labels({"device": "d0"}, "polled"), at, 7.0)]))
    client = api(runtime).test_client()

    def ask(path: str, **parameters: object) -> dict[str, object]:
        answer = client.get(f"/prometheus/api/v1/{path}", query_string=parameters)
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    here = ask("query", query="polled", time=now / 1000)
    assert "infos" not in here
    there = ask("query", query="polled", time=old / 1000)
    assert there["data"]["result"][0]["metric"]["device"] == "retired"  # type: ignore[index]
    assert server.url in str(there["infos"])
    both = ask("query_range", query="polled", start=old / 1000, end=now / 1000, step=3600)
    devices = {series["metric"]["device"] for series in both["data"]["result"]}  # type: ignore[index]
    assert devices == {"retired", "d0"}
    assert f"answered by {server.url}" in str(both["infos"])
    series = ask("series", **{"match[]": "polled", "start": (old - MINUTE) / 1000})
    assert {item["device"] for item in series["data"]} == {"retired", "d0"}  # type: ignore[attr-defined]
    server.kill()
    answer = client.get("/prometheus/api/v1/query", query_string={"query": "polled", "time": old / 1000})
    assert answer.status_code == 503
    assert f"long-range back end {server.url}" in answer.get_json()["error"]
    assert "infos" not in ask("query", query="polled", time=now / 1000)


def test_rules_never_ask_the_back_end(core: Callable[..., Runtime]) -> None:
    runtime = core(remote_query_url=f"http://127.0.0.1:{free_port()}")
    store, queries = query_doors(runtime)
    assert store is not runtime.store
    assert queries is not runtime.queries
    assert isinstance(runtime.queries, PromqlEngine)

"""How the platform itself is: its numbers at /metrics, and the self-check people see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from dashboards import condition as words
from dashboards.backend import Backend
from dashboards.condition import condition
from dashboards.exposition import Merged
from monitor.cli.doctor import doctor
from monitor.clock import ManualClock
from monitor.core_socket import ask_core
from monitor.errors import UnreachableError
from monitor.identity.roles import Role
from monitor.metrics.condition import Count, RemoteReport, StoreReport, Trouble
from monitor.metrics.refusals import Refusal
from monitor.service import Runtime
from tests.conftest import NOON
from tests.dashboards.corehouse import core_at
from tests.monitor.metrics.damage import damaged_folder

REPORT = StoreReport(
    at_ms=NOON, series=1_234_567, samples_per_second=98_765.0, wal_bytes=3 << 30, chunk_bytes=1 << 30,
    memory_bytes=2 << 30, free_bytes=500 << 30, held_from_ms=NOON - 86_400_000, damaged=(), set_aside=0,
    queries_running=2, queries_waiting=0, queries_places=16, queries_refused=0,
)  # fmt: skip
REMOTE = RemoteReport(failure="", failing_since_ms=0, lag_seconds=12.0, pending_bytes=4096, dropped=0)
FULL = Refusal("metrics/wal: no space left", "metrics/wal：磁盘已满", NOON)
LOOKS_AFTER = (Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDIT_ADMIN, Role.DUTY_OPERATOR)


def scraped(client: FlaskClient, **headers: str) -> dict[str, Metric]:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    found = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in found}) == len(found)
    series = [(s.name, *sorted(s.labels.items())) for family in found for s in family.samples]
    assert len(set(series)) == len(series)
    return {family.name: family for family in found}


def test_metrics_are_those_of_both_processes(
    app: Flask, stands_on: Backend, runtime: Runtime, tmp_path: Path
) -> None:
    token = {"Authorization": f"Bearer {stands_on.tokens.create('m', ['read'])}"}
    wrong = {"Authorization": f"Bearer {stands_on.tokens.create('i', ['ingest'])}"}
    client = app.test_client()
    with core_at(runtime, tmp_path):
        found = scraped(client, **token)
        assert client.get("/metrics", headers=wrong).status_code == 401
        assert client.get("/metrics").status_code == 401
    assert {s.labels["role"] for s in found["process_resident_memory_bytes"].samples} == {"web", "core"}
    assert {s.labels["role"] for s in found["zhishou_build_info"].samples} == {"web", "core"}
    assert found["zhishou_core_up"].samples[0].value == 1
    assert found["zhishou_metrics_series"].samples[0].labels == {}
    assert found["zhishou_metrics_quarantined"].samples[0].value == 0
    assert "zhishou_web_live_streams" in found


def test_without_the_core_the_web_process_still_gives_its_own(app: Flask, stands_on: Backend) -> None:
    token = {"Authorization": f"Bearer {stands_on.tokens.create('m', ['read'])}"}
    found = scraped(app.test_client(), **token)
    assert found["zhishou_core_up"].samples[0].value == 0
    assert [s.labels for s in found["process_resident_memory_bytes"].samples] == [{"role": "web"}]
    assert "zhishou_metrics_series" not in found


def test_of_two_types_by_one_name_the_first_counts() -> None:
    gauge = GaugeMetricFamily("zhishou_x", "A gauge.", value=1)
    counter = CounterMetricFamily("zhishou_x", "A counter.", value=2)
    (merged,) = Merged(("web", [gauge]), ("core", [counter])).collect()
    assert (merged.type, [s.value for s in merged.samples]) == ("gauge", [1.0])
    (both,) = Merged(("web", [gauge]), ("core", [gauge])).collect()
    assert [s.labels for s in both.samples] == [{"role": "web"}, {"role": "core"}]


def test_asking_a_core_that_answers_badly_is_unreachable(runtime: Runtime, tmp_path: Path) -> None:
    with core_at(runtime, tmp_path), pytest.raises(UnreachableError, match="status 404"):
        ask_core(runtime.settings.socket_path, "/nowhere", seconds=2.0)
    with pytest.raises(UnreachableError, match="No such file"):
        ask_core(runtime.settings.socket_path, "/metrics", seconds=2.0)


@pytest.mark.parametrize(
    ("language", "banner", "kinds", "remedy"),
    [
        (
            "zh",
            "2 处指标数据损坏，其余数据照常提供",
            "写前日志 1 处、数据块 1 处",
            "zhishou metrics verify --data",
        ),
        (
            "en",
            "Damaged pieces of metric data: 2; everything else is served",
            "write-ahead log: 1, chunks: 1",
            "restore the folder metrics from the latest snapshot",
        ),
    ],
)
def test_flipped_bytes_are_told_to_those_who_look_after_the_platform(
    app: Flask,
    runtime: Runtime,
    as_role: Callable[..., FlaskClient],
    tmp_path: Path,
    clock: ManualClock,
    language: str,
    banner: str,
    kinds: str,
    remedy: str,
) -> None:
    damaged_folder(tmp_path / "metrics", clock)
    with core_at(runtime, tmp_path) as store:
        store.window([], 0, clock.now_ms())
        for role in Role:
            client = as_role(role)
            client.set_cookie("zs_lang", language)
            overview, page = client.get("/").text, client.get("/admin").text
            assert (banner in page) == (kinds in page) == (remedy in page) == (role in LOOKS_AFTER), role
            assert (banner in overview) == (role in LOOKS_AFTER and role is not Role.AUDIT_ADMIN), role
        api = as_role(Role.DUTY_OPERATOR).get("/api/v1/platform").get_json()
        assert [t["kind"] for t in api["notices"]] == ["damaged"]
        assert {d["name"]: d["count"] for d in api["report"]["damaged"]} == {"wal": 1, "chunk": 1}
    assert app.test_client().get("/api/v1/platform").status_code == 401


def doctor_on_the_store(folder: Path) -> list[dict[str, object]]:
    answer = CliRunner().invoke(doctor, ["--data", str(folder), "--json"])
    return [item for item in json.loads(answer.stdout) if item["subject"] == "metric store"]


def test_the_doctor_tells_the_same(runtime: Runtime, tmp_path: Path, clock: ManualClock) -> None:
    damaged_folder(tmp_path / "metrics", clock)
    assert doctor_on_the_store(tmp_path) == []
    with core_at(runtime, tmp_path) as store:
        (finding,) = doctor_on_the_store(tmp_path)
        assert (finding["fine"], finding["detail"]) == (
            False,
            "damaged pieces: 1 (wal 1); everything else is served",
        )
        assert "zhishou metrics verify" in str(finding["remedy"])
        store.window([], 0, clock.now_ms())
        assert "(wal 1, chunk 1)" in str(doctor_on_the_store(tmp_path)[0]["detail"])


def test_the_doctor_has_words_for_every_trouble(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {Trouble.REMOTE_DOWN}  # told by the finding on the back end, which needs no core
    for trouble, (report, _chinese, _english) in TROUBLED.items():
        body = orjson.dumps(report)
        monkeypatch.setattr("monitor.cli.doctor.ask_core", lambda *_, body=body, **__: body)
        (finding,) = doctor_on_the_store(tmp_path)
        assert finding["fine"] == (trouble in elsewhere)
        assert "{" not in str(finding["detail"])
    monkeypatch.setattr("monitor.cli.doctor.ask_core", lambda *_, **__: b'{"older": 1}')
    assert "another version" in str(doctor_on_the_store(tmp_path)[0]["detail"])


def test_a_sound_platform_says_so_and_shows_its_figures(
    app: Flask, runtime: Runtime, operator: FlaskClient, tmp_path: Path
) -> None:
    with core_at(runtime, tmp_path):
        page, overview = operator.get("/admin").text, operator.get("/").text
    assert "全部正常" in page
    assert "未发现损坏" in page
    assert "需处理" not in page
    assert "own-trouble" not in overview


def test_a_core_that_is_down_is_told(operator: FlaskClient) -> None:
    for path in ("/", "/admin"):
        assert "核心进程没有应答" in operator.get(path).text
    assert operator.get("/api/v1/platform").get_json()["report"] is None


def test_the_core_is_not_asked_by_every_page(
    app: Flask, runtime: Runtime, operator: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("dashboards.core.time.monotonic", lambda: now)
    with core_at(runtime, tmp_path):
        assert "全部正常" in operator.get("/admin").text
    assert "全部正常" in operator.get("/admin").text
    now += 6
    assert "核心进程没有应答" in operator.get("/admin").text


TROUBLED = {
    Trouble.REFUSING: (replace(REPORT, writing=FULL), "磁盘不接收指标样本 metrics/wal：磁盘已满", "takes no metric samples"),
    Trouble.SEALING: (replace(REPORT, sealing=FULL), "指标数据不能归档 metrics/wal：磁盘已满", "metrics/wal: no space left"),
    Trouble.DISK_FULL: (replace(REPORT, free_bytes=1 << 30), "数据磁盘只剩 1 GiB", "Only 1 GiB left"),
    Trouble.REMOTE_DROPPED: (replace(REPORT, remote=replace(REMOTE, dropped=70)), "近 1 小时有 70 个样本未能转发", "70 samples did not reach"),
    Trouble.REMOTE_DOWN: (
        replace(REPORT, remote=replace(REMOTE, failure="status 500", failing_since_ms=NOON)),
        "长期存储自 2026-11-21 20:00:00 起不接收样本 status 500。本地数据不受影响", "no samples since 2026-11-21 20:00:00",
    ),
    Trouble.REMOTE_BEHIND: (replace(REPORT, remote=replace(REMOTE, lag_seconds=3600.0)), "长期存储落后 1 时 00 分", "1 h 00 m behind"),
    Trouble.SERIES_REFUSED: (replace(REPORT, series_refused=(Count("H001", 3), Count("", 2))), "近 1 小时有 5 次新序列超过上限", "refused 5 times"),
    Trouble.QUERIES_REFUSED: (replace(REPORT, queries_refused=9), "近 1 小时有 9 个查询因并发已满未执行", "9 queries were refused"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLED)
def test_every_trouble_has_words_in_both_languages(
    app: Flask, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    report, chinese, english = TROUBLED[trouble]
    monkeypatch.setattr(words, "store_report", lambda: report)
    for language, expected in (("zh", chinese), ("en", english)):
        with app.test_request_context(headers={"Cookie": f"zs_lang={language}"}):
            found = condition()
            (notice,) = found.notices
            assert notice.kind == trouble.value
            assert expected in f"{notice.title} {notice.text}"
            assert notice.remedy
            assert [f.state for f in found.figures if f.state not in {"ok", "off"}] == [notice.state]


def test_figures_of_a_busy_city(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "store_report", lambda: replace(REPORT, remote=REMOTE, set_aside=2))
    with app.test_request_context(headers={"Cookie": "zs_lang=zh"}):
        shown = {f.name: (f.value, f.text) for f in condition().figures}
    assert shown["序列"] == ("1,234,567", "内存 2 GiB")
    assert shown["写入"][0] == "98.8 k 个样本/秒"
    assert shown["磁盘"] == ("4 GiB", "剩余 500 GiB")
    assert shown["最早数据"] == ("2026-11-20 20:00", "保留 30 天")
    assert shown["数据完整性"] == ("未发现损坏", "以前隔离的文件 2 个")
    assert shown["长期存储"] == ("落后 12 秒", "4 KiB 待转发")
    assert set(dict(shown)) >= {"写前日志", "查询"}


def test_every_kind_of_trouble_is_tried() -> None:
    assert set(TROUBLED) | {Trouble.DAMAGED} == set(Trouble)

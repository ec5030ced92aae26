"""The pure parts of the benches: medians, ratios, goals and the JSON others read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.snmp.ber import encode_oid
from collectors.snmp.message import GET, encode_request, parse_response
from deploy.demo.agents.tree import Tree
from tests.bench import metrics as bench_metrics
from tests.bench import playbooks as bench_playbooks
from tests.bench.__main__ import main
from tests.bench.agents import SCALARS, VALUES, Replay, override_lines, rows
from tests.bench.measure import (
    KEYS,
    Measure,
    cpu_ms,
    cpu_seconds,
    interleaved,
    p95,
    per_cpu_second,
    wall_ms,
    write_json,
)


def test_sides_take_turns_and_the_median_counts() -> None:
    order: list[str] = []

    def side(name: str, figures: Iterator[float]) -> float:
        order.append(name)
        return next(figures)

    mine, theirs = iter([9.0, 1.0, 5.0, 1000.0, 4.0]), iter([1.0, 1.0, 1.0, 1.0, 70.0])
    found = interleaved({"ours": lambda: side("ours", mine), "peer": lambda: side("peer", theirs)})
    assert found == {"ours": 5.0, "peer": 1.0}
    assert order == ["ours", "peer"] * 5


def test_fewer_than_five_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        interleaved({"ours": lambda: 1.0}, rounds=4)


@pytest.mark.parametrize(
    ("better", "ours", "peer", "ratio"),
    [("higher", 200.0, 100.0, 2.0), ("lower", 50.0, 100.0, 2.0), ("higher", 50.0, 100.0, 0.5), ("lower", 200.0, 100.0, 0.5)],
)  # fmt: skip
def test_a_ratio_says_how_many_times_better(better: str, ours: float, peer: float, ratio: float) -> None:
    assert Measure("m", "u", better, ours, peer, "p").ratio == ratio  # type: ignore[arg-type]


def test_without_a_peer_figure_there_is_no_ratio() -> None:
    assert Measure("m", "u", "higher", 1.0, None, "p", 2.0).ratio is None
    assert Measure("m", "u", "lower", 0.0, 1.0, "p").ratio is None


def test_a_goal_is_a_ratio_with_a_peer_and_a_figure_without() -> None:
    assert Measure("m", "u", "higher", 300.0, 100.0, "p", 3.0).reached is True
    assert Measure("m", "u", "higher", 299.0, 100.0, "p", 3.0).reached is False
    assert Measure("m", "u", "higher", 300.0, None, "p", 3.0).reached is None
    assert Measure("m", "ms", "lower", 9.0, goal=10.0).reached is True
    assert Measure("m", "ms", "lower", 11.0, goal=10.0).reached is False
    assert Measure("m", "ms", "lower", 11.0).reached is None


def test_p95_is_the_figure_that_95_in_100_do_not_exceed() -> None:
    assert p95([float(n) for n in range(100, 0, -1)]) == 95.0
    assert p95([7.0]) == 7.0
    with pytest.raises(ValueError, match="no figures"):
        p95([])


def test_cpu_time_counts_work_and_not_waiting() -> None:
    assert cpu_ms(lambda: time.sleep(0.2)) < 100 < wall_ms(lambda: time.sleep(0.2))
    assert cpu_seconds(os.getpid()) == pytest.approx(cpu_seconds(0), abs=0.05)
    rate = per_cpu_second(1000, 0, lambda: sum(range(200_000)))
    assert 0 < rate < 1000 / 1e-4


def test_the_json_has_the_keys_others_rely_on(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench" / "snmp.json"
    write_json(
        path,
        [
            Measure("polls", "per s", "higher", 2000.123456, 1000.0, "peer", 100),
            Measure("x", "ms", "lower", 1.5),
        ],
    )
    first, second = json.loads(path.read_text("utf-8"))
    assert tuple(first) == tuple(second) == KEYS
    assert first == {
        "name": "polls", "unit": "per s", "better": "higher", "ours": 2000.0, "peer": 1000.0, "peer_name": "peer",
        "ratio": 2.0, "goal": 100,
    }  # fmt: skip
    assert second["peer"] is second["ratio"] is second["goal"] is None


def test_a_name_without_a_bench_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events"]) == 2
    assert "no bench events" in capsys.readouterr().err


def test_an_agent_replays_its_answer_with_the_new_request_id() -> None:
    agent = Replay(Tree(rows(3)))
    name = encode_oid(SCALARS["sysName"])
    for identity in (1, 70_000, 2**31 - 1):
        reply = parse_response(agent.answer(encode_request(1, b"bench", GET, identity, [name])))
        assert reply.request_id == identity
        assert [value for _, _, value in reply.varbinds] == [b"switch-3"]


def test_snmpd_gets_the_same_objects() -> None:
    lines = override_lines(3)
    assert len(set(lines)) == len(rows(3)) == VALUES == 248
    assert 'override 1.3.6.1.2.1.1.5.0 octet_str "switch-3"' in lines
    assert "override 1.3.6.1.2.1.2.2.1.8.24 integer 1" in lines


def test_a_bench_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> list[Measure]:
        raise RuntimeError("prometheus answers differently")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench_metrics, "run", broken)
    monkeypatch.setattr(
        bench_playbooks, "run", lambda: [Measure("scope decision", "ms", "lower", 2.0, goal=3.0)]
    )
    assert main(["metrics", "playbooks"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "metrics: prometheus answers differently\n"
    assert "reached" in captured.out
    assert [path.name for path in (tmp_path / "build" / "bench").iterdir()] == ["playbooks.json"]

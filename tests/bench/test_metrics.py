"""The metric bench's own parts: its data, the bodies it sends, the sides it starts, the parts one can name."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from monitor.metrics import remote_write
from monitor.metrics.interface import Labels, Limits, Matrix, SampleBlock
from monitor.metrics.piece import Columns
from monitor.metrics.promql.compile import compile_plan
from monitor.metrics.protocol import remote_write_pb2 as v1
from rules.alerting.files import parse_rules
from tests.bench import metrics as bench_metrics
from tests.bench.__main__ import main
from tests.bench.measure import Measure
from tests.bench.metrics import rules, sides, storm
from tests.bench.metrics.city import bulk
from tests.bench.metrics.data import (
    DOWN,
    HOUR,
    INTERVALS,
    MINUTE,
    PORTS,
    WIDTH,
    Dataset,
    Size,
    plain,
    uneven,
)
from tests.bench.metrics.wire import Writer, varint

END = 1_795_262_400_000  # 2026-11-21T12:00:00Z


@pytest.fixture(scope="module")
def even() -> Dataset:
    return plain(20, END - HOUR, END)


@pytest.fixture(scope="module")
def odd() -> Dataset:
    return uneven(100, END - HOUR, END)


def _of(data: Dataset, number: int) -> tuple[list[int], list[float]]:
    """Times and values of one series, in the order they are sent."""
    times: list[int] = []
    values: list[float] = []
    for columns in data.columns(data.start_ms, data.end_ms, 15 * MINUTE, 7):
        mine = columns.series == number
        times += columns.timestamps[mine].tolist()
        values += columns.values[mine].tolist()
    return times, values


def test_even_data_has_one_sample_of_each_series_a_minute(even: Dataset) -> None:
    assert len(even.labels) == len(set(even.labels)) == 20 * WIDTH == Size(20).series
    assert even.samples == 20 * WIDTH * 60
    times, _ = _of(even, 3 * WIDTH)
    assert len(times) == 60
    assert set(np.diff(times)) == {MINUTE}
    assert times[0] >= even.start_ms
    assert times[-1] < END


def test_time_stamps_keep_off_the_times_of_queries(even: Dataset, odd: Dataset) -> None:
    for data in (even, odd):
        for columns in data.columns(data.start_ms, END, MINUTE, 1000):
            assert not (columns.timestamps % 10).any()


def test_counters_only_fall_when_a_device_reboots(even: Dataset) -> None:
    values = even.parts[0].values.reshape(20, WIDTH, 60)
    octets, errors = values[:, : 2 * PORTS], values[:, 3 * PORTS : 4 * PORTS]
    falling = (np.diff(octets, axis=2) < 0).any(axis=(1, 2))
    assert falling.sum() == 1
    assert (octets >= 0).all()
    assert (errors >= 0).all()
    assert set(np.unique(values[:, 2 * PORTS : 3 * PORTS])) == {1.0, 2.0}


def test_as_many_ports_are_down_as_a_storm_has_alerts() -> None:
    last = (
        plain(480, END - 10 * MINUTE, END)
        .parts[0]
        .values.reshape(480, WIDTH, 10)[:, 2 * PORTS : 3 * PORTS, 0]
    )
    assert (last == 2).sum() == pytest.approx(480 * PORTS * DOWN, abs=20)


def test_uneven_data_has_every_interval_and_holes(odd: Dataset) -> None:
    assert sorted(part.interval_ms for part in odd.parts) == [interval for interval, _ in INTERVALS]
    assert sorted(np.concatenate([part.devices for part in odd.parts]).tolist()) == list(range(100))
    whole = sum(part.values.size for part in odd.parts)
    assert odd.samples / whole == pytest.approx(0.98, abs=0.01)
    sent = sum(len(columns.series) for columns in odd.columns(odd.start_ms, END, 7 * MINUTE, 13))
    assert sent == odd.samples


def test_uneven_samples_still_come_in_order(odd: Dataset) -> None:
    for part in odd.parts:
        times, _ = _of(odd, int(part.devices[0]) * WIDTH)
        steps = np.diff(times)
        assert (steps > 0).all()
        assert len(set(steps.tolist())) > 1
        assert odd.start_ms <= times[0]
        assert times[-1] < END


def test_the_same_data_comes_at_every_run(odd: Dataset) -> None:
    again = uneven(100, END - HOUR, END)
    assert all(np.array_equal(a.values, b.values) for a, b in zip(odd.parts, again.parts, strict=True))


def _message(labels: list[Labels], columns: Columns) -> bytes:
    """What a protobuf library writes for the samples."""
    request = v1.WriteRequest()
    for number in np.unique(columns.series).tolist():
        mine = columns.series == number
        names = [v1.Label(name=n, value=v).SerializeToString() for n, v in labels[number]]
        pairs = zip(columns.values[mine].tolist(), columns.timestamps[mine].tolist(), strict=True)
        request.timeseries.add(labels=names, samples=[v1.Sample(value=v, timestamp=t) for v, t in pairs])
    return request.SerializeToString()


def test_bodies_without_zeros_are_what_protobuf_writes(even: Dataset, odd: Dataset) -> None:
    import cramjam

    for data, step in ((even, MINUTE), (odd, 5 * MINUTE)):
        writer = Writer(data.labels)
        columns = next(data.columns(data.start_ms, END, step, 9))
        assert (columns.values == 0).any()
        body = writer.body(columns, zeros=False)
        assert bytes(cramjam.snappy.decompress_raw(body)) == _message(data.labels, columns)


@pytest.mark.parametrize("zeros", [True, False])
def test_bodies_carry_the_samples(odd: Dataset, zeros: bool) -> None:
    writer = Writer(odd.labels)
    for columns in odd.columns(odd.start_ms, odd.start_ms + 10 * MINUTE, 5 * MINUTE, 40):
        block = _decoded(writer.body(columns, zeros=zeros))
        assert [block.labels[code] for code in block.series] == [odd.labels[code] for code in columns.series]
        assert np.array_equal(block.values, columns.values)
        assert np.array_equal(block.timestamps, columns.timestamps)


def _decoded(body: bytes) -> SampleBlock:
    return remote_write.decode(body, content_type=remote_write.CONTENT_TYPE, content_encoding="snappy")


def test_varints() -> None:
    assert [varint(number) for number in (0, 127, 128, 300, 16_383, 16_384)] == [
        b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02", b"\xff\x7f", b"\x80\x80\x01",
    ]  # fmt: skip


def test_the_environment_chooses_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DEVICES", raising=False)
    monkeypatch.delenv("BENCH_HOURS", raising=False)
    assert Size.chosen().series == 102_000
    monkeypatch.setenv("BENCH_DEVICES", "200")
    monkeypatch.setenv("BENCH_HOURS", "24")
    assert Size.chosen() == Size(200, 24)


def test_every_rule_compiles_and_the_storm_is_a_rule_file() -> None:
    for text in rules.RULES.values():
        assert compile_plan(text, Limits()).kind == "vector"
    text = storm.rule_file("steady", "ifOperStatus == 2")
    groups, errors = parse_rules(text, "storm.yml", lambda expression: compile_plan(expression, Limits()))
    assert errors == []
    assert groups[0].interval_ms == storm.INTERVAL * 1000


def test_answers_are_compared_to_the_last_digit_that_matters() -> None:
    one: Labels = (("site", "H001"),)
    other: Labels = (("site", "H002"),)
    rules.compare("peer", "up", {one: 1.0, other: float("nan")}, {other: float("nan"), one: 1.0 + 1e-8})
    with pytest.raises(RuntimeError, match="finds 1 series for 'up', we 2"):
        rules.compare("peer", "up", {one: 1.0, other: 2.0}, {one: 1.0})
    with pytest.raises(RuntimeError, match="differently for 1 of 2 series"):
        rules.compare("peer", "up", {one: 1.0, other: 2.0}, {one: 1.0, other: 2.1})


def test_a_matrix_is_compared_point_by_point() -> None:
    labels: Labels = (("site", "H001"),)
    values, present = np.array([[1.0], [2.0], [0.0]]), np.array([[True], [True], [False]])
    matrix = Matrix([labels], np.array([0, 60_000, 120_000]), values, present)
    answer = [{"metric": {"site": "H001"}, "values": [[0, "1"], [60, "2"]]}]
    assert rules.same_matrix(matrix, answer)
    answer[0]["values"].pop()  # type: ignore[attr-defined]
    assert not rules.same_matrix(matrix, answer)
    assert not rules.same_matrix(matrix, [])


def test_parts_are_named_behind_the_bench(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(parts: list[str]) -> list[Measure]:
        asked.append(list(parts))
        return [Measure("typical rules", "ms", "lower", 2.0)]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench_metrics, "run", run)
    assert main(["metrics", "rules", "disk"]) == 0
    assert asked == [["rules", "disk"]]
    assert [path.name for path in (tmp_path / "build" / "bench").iterdir()] == ["metrics-rules-disk.json"]
    assert main(["rules", "metrics"]) == 2
    assert main(["metrics", "nothing"]) == 2
    assert "no bench nothing" in capsys.readouterr().err


def test_our_core_takes_a_load_and_keeps_it_when_killed(even: Dataset, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ours = sides.start(stack, tmp_path, [sides.OURS], END)[sides.OURS]
        sides.load([ours], bulk(even, Writer(even.labels), END - 20 * MINUTE, END))
        assert ours.request("POST", f"/bench/maintain?now={END}") == b"done\n"
        result = ours.ask("query", query="count(up)", time=sides.seconds(END - 5))["result"]
        assert isinstance(result, list)
        assert result[0]["value"][1] == "20"
        before = ours.pid
        ours.kill_and_start()
        assert ours.pid != before
        ours.until_answered("sum(count_over_time(up[20m]))", END - 5, 400)
        assert 10 < ours.resident_mb < 2000
        with pytest.raises(RuntimeError, match="with 404"):
            ours.ask("nothing")


@pytest.mark.slow
def test_rules_are_measured_against_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "INTERVAL", 1)
    monkeypatch.setenv("BENCH_DEVICES", "20")
    monkeypatch.setenv("BENCH_HOURS", "2")
    found = bench_metrics.run(["rules", "range", "storm"])
    assert [measure.name for measure in found][:2] == [
        "typical rules",
        "typical rules, against victoria-metrics",
    ]
    assert all(measure.ours > 0 for measure in found)
    json.dumps([measure.as_dict() for measure in found])

"""The remote write view: what is stored, what is refused, and what the sender is told."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cramjam
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from monitor.clock import ManualClock, SystemClock
from monitor.metrics.errors import StorageError
from monitor.metrics.http import prometheus_api
from monitor.metrics.interface import AppendResult, Matcher, MatchOp, SampleBlock, block_of, make_labels
from monitor.metrics.memory import MemoryStore
from monitor.metrics.metadata import MetricMetadata
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.protocol import remote_write_v2_pb2 as v2
from monitor.metrics.remote_write import encode
from monitor.metrics.store import LocalStore
from monitor.metrics.write_gate import WriteGate
from monitor.metrics.write_http import add_write
from tests.monitor.metrics.wire import field, label, packed, sample

WRITE = "/prometheus/api/v1/write"
V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
V2 = {**V1, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
DAY = 86_400_000
SITES = {"c1": {"H1"}, "c2": {"H2"}}


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / "metrics", clock)
    yield made
    made.close()


@pytest.fixture
def metadata() -> MetricMetadata:
    return MetricMetadata()


@pytest.fixture
def client(store: LocalStore, clock: ManualClock, metadata: MetricMetadata) -> FlaskClient:
    app = Flask("test")
    app.register_blueprint(
        prometheus_api(
            store,
            PromqlEngine(store),
            clock,
            targets=list,
            sites=lambda collectors: frozenset().union(*(SITES.get(name, ()) for name in collectors)),
            metadata=metadata,
        )
    )
    return app.test_client()


@pytest.fixture
def now(clock: ManualClock) -> int:
    return clock.now_ms()


def post(client: FlaskClient, body: bytes, **headers: str) -> TestResponse:
    return client.post(WRITE, data=body, headers={**V1, **headers})


def stored(store: LocalStore, name: str) -> dict[str, list[float]]:
    """device -> values of a metric."""
    window = store.window([Matcher("__name__", MatchOp.EQ, name)], 0, 2**60)
    return {
        dict(labels).get("device", ""): window.values[window.present[:, column], column].tolist()
        for column, labels in enumerate(window.labels)
    }


def of(device: str, name: str = "m", **more: str) -> tuple[tuple[str, str], ...]:
    return make_labels({"device": device, **more}, name)


def written(answer: TestResponse) -> list[str]:
    kinds = ("Samples", "Histograms", "Exemplars")
    return [answer.headers[f"X-Prometheus-Remote-Write-{kind}-Written"] for kind in kinds]


def test_what_is_written_is_stored(client: FlaskClient, store: LocalStore, now: int) -> None:
    for minute in (2, 1, 0):
        at = now - 60_000 * minute
        body = encode(block_of([(of("a"), at, 2.5 + minute), (of("b"), at, float("-inf"))]))
        answer = post(client, body)
        assert (answer.status_code, answer.data, written(answer)) == (200, b"", ["2", "0", "0"])
    assert stored(store, "m") == {"a": [4.5, 3.5, 2.5], "b": [-np.inf] * 3}


def test_what_came_before_is_no_error(client: FlaskClient, now: int) -> None:
    body = encode(block_of([(of("a"), now, 1.0)]))
    assert [post(client, body).status_code for _ in range(3)] == [200] * 3


def test_what_is_good_is_stored_and_the_rest_is_told(
    client: FlaskClient, store: LocalStore, now: int
) -> None:
    assert post(client, encode(block_of([(of("conflict"), now, 1.0)]))).status_code == 200
    body = encode(
        block_of(
            [
                (of("good"), now, 1.0),
                (of("conflict"), now, 2.0),
                (of("old"), now - 400 * DAY, 1.0),
                (of("old"), now - 401 * DAY, 1.0),
                (of("ahead"), now + 3650 * DAY, 1.0),
                (of("negative"), -5, 1.0),
            ]
        )
    )
    plain = bytes(cramjam.snappy.decompress_raw(body))
    answer = post(client, packed(plain + field(0x0A, label(b"device", b"nameless") + sample(1.0, now))))
    assert (answer.status_code, written(answer)) == (400, ["1", "0", "0"])
    assert answer.text.startswith("1 samples stored, 6 refused: ")
    assert '3 too_old, e.g. m{device="old"}' in answer.text
    assert '1 too_far_ahead, e.g. m{device="ahead"}' in answer.text
    assert '1 no_metric_name, e.g. {device="nameless"}' in answer.text
    assert '1 conflicting, e.g. m{device="conflict"}' in answer.text
    assert stored(store, "m") == {"conflict": [1.0], "good": [1.0]}


def test_values_that_are_no_numbers_are_values(client: FlaskClient, store: LocalStore, now: int) -> None:
    odd = {"a": float("nan"), "b": float("inf"), "c": -0.0, "d": 5e-324}
    assert post(client, encode(block_of((of(k), now, v) for k, v in odd.items()))).status_code == 200
    assert str(stored(store, "m")) == str({key: [value] for key, value in odd.items()})


def test_a_collector_writes_of_its_own_sites_only(client: FlaskClient, store: LocalStore, now: int) -> None:
    def body(at: int) -> bytes:
        series = [of("1", site="H1"), of("2", site="H2"), of("own")]
        return encode(block_of([(labels, at, 1.0) for labels in series]))

    answer = post(client, body(now), **{"X-Zhishou-Collector": "c9"})
    assert answer.status_code == 400
    assert "2 site_of_another_collector, e.g. m{device=" in answer.text
    assert set(stored(store, "m")) == {"own"}
    for at in (now + 1, now + 2):
        assert post(client, body(at), **{"X-Zhishou-Collector": "c1,c9"}).status_code == 400
        assert set(stored(store, "m")) == {"own", "1"}
    assert post(client, body(now + 3), **{"X-Zhishou-Collector": "c1,c2"}).status_code == 200
    assert {key: len(values) for key, values in stored(store, "m").items()} == {"own": 4, "1": 3, "2": 1}


def request_v2(now: int, *, histograms: int = 0, exemplars: int = 0, name: str = "hits_total") -> bytes:
    symbols = ["", "__name__", name, "device", "a", "b", "Hits.", "hits"]
    request = v2.Request(symbols=symbols)
    for device in (4, 5):
        one = request.timeseries.add(labels_refs=[1, 2, 3, device])
        one.samples.add(value=float(device), timestamp=now)
        one.metadata.type = 1
        one.metadata.help_ref, one.metadata.unit_ref = 6, 7
        one.histograms.extend([b""] * histograms)
        one.exemplars.extend([b""] * exemplars)
    return packed(request.SerializeToString())


def test_2_0_stores_samples_and_metadata(
    client: FlaskClient, store: LocalStore, metadata: MetricMetadata, now: int
) -> None:
    for minute in (1, 0):
        answer = client.post(WRITE, data=request_v2(now - 60_000 * minute, exemplars=2), headers=V2)
        assert (answer.status_code, written(answer)) == (200, ["2", "0", "0"])
    assert stored(store, "hits_total") == {"a": [4.0, 4.0], "b": [5.0, 5.0]}
    info = metadata.about("hits_total")
    assert info is not None
    assert (info.type, info.help, info.unit) == ("counter", "Hits.", "hits")
    shown = client.get("/prometheus/api/v1/metadata").get_json()["data"]
    assert shown["hits_total"][0]["type"] == "counter"


def test_2_0_tells_what_of_a_request_was_written(client: FlaskClient, store: LocalStore, now: int) -> None:
    answer = client.post(WRITE, data=request_v2(now, histograms=3), headers=V2)
    assert (answer.status_code, written(answer)) == (400, ["2", "0", "0"])
    assert "6 native_histograms_not_stored" in answer.text
    assert len(stored(store, "hits_total")) == 2
    answer = client.post(WRITE, data=request_v2(now, name=""), headers=V2)
    assert (answer.status_code, written(answer)) == (400, ["0", "0", "0"])
    assert '2 no_metric_name, e.g. {__name__="", device="a"}' not in answer.text
    assert "2 no_metric_name" in answer.text


def test_a_sender_of_something_else_is_told_so(client: FlaskClient, now: int) -> None:
    good = encode(block_of([(of("a"), now, 1.0)]))
    cases = {
        (good, "Content-Encoding", "gzip"): 415,
        (b"\x1f\x8b\x08\x00", "Content-Encoding", "gzip"): 415,
        (good, "Content-Type", "text/plain"): 415,
        (good, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"): 415,
        (b"\xff\xff\xff", "X", ""): 400,
        (b"", "X", ""): 400,
        (good[: len(good) // 2], "X", ""): 400,
        (packed(b"\x0a\xff"), "X", ""): 400,
        (b"\xff\xff\xff\xff\x0f" + good, "X", ""): 413,
        (bytes(cramjam.snappy.compress_raw(bytes(100 << 20))), "X", ""): 413,
    }
    for (body, name, value), status in cases.items():
        answer = post(client, body, **{name: value})
        assert (answer.status_code, written(answer)[0]) == (status, "0"), (body[:20], answer.text)
        assert len(answer.text) > 10
    assert client.get(WRITE).status_code == 405


def test_pushes_back_when_the_disk_does_not_take_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, now: int
) -> None:
    def full(self: LocalStore, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        assert durable
        raise StorageError("disk full")

    monkeypatch.setattr(LocalStore, "append", full)
    answer = post(client, encode(block_of([(of("a"), now, 1.0)])))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")


class Stuck(MemoryStore):
    """Does not take samples until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def append(self, block: SampleBlock, *, durable: bool = False) -> AppendResult:
        self.entered.release()
        self.go_on.wait(10)
        return super().append(block, durable=durable)


def test_too_many_writers_are_asked_to_come_back(now: int) -> None:
    store, app = Stuck(), Flask("test")
    app.add_url_rule("/x", "x")
    blueprint = app  # A blueprint and an application take views in the same way.
    add_write(blueprint, store, gate=WriteGate(writers=1, waiting=1, wait_seconds=0.05))  # type: ignore[arg-type]
    body = encode(block_of([(of("a"), now, 1.0)]))
    first: list[int] = []

    def send() -> None:
        first.append(app.test_client().post("/write", data=body, headers=V1).status_code)

    thread = threading.Thread(target=send)
    thread.start()
    assert store.entered.acquire(timeout=10)
    answer = app.test_client().post("/write", data=body, headers=V1)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    store.go_on.set()
    thread.join()
    assert first == [200]
    assert app.test_client().post("/write", data=body, headers=V1).status_code == 200


def resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def hostile(now: int) -> dict[str, bytes]:
    """Requests made to hurt."""
    name = label(b"__name__", b"m")
    many = b"".join(label(b"l%06d" % number, b"v") for number in range(60_000))
    return {
        "a million labels": field(0x0A, name + many * 16 + sample(1.0, now)),
        "sixty thousand labels": field(0x0A, name + many[: 1000 * 1000] + sample(1.0, now)),
        "a huge value": field(0x0A, name + label(b"x", b"v" * 900_000) + sample(1.0, now)),
        "tiny series": b"\x0a\x00" * (15 << 20),
        "tiny samples": field(0x0A, name + b"\x12\x00" * 400_000) * 20,
        "tiny labels": field(0x0A, b"\x0a\x00" * 500_000) * 20,
        "tiny notes": b"\x1a\x00" * (15 << 20),
        "nulls": bytes(30 << 20),
        "duplicate labels": field(0x0A, name + label(b"x", b"1") * 30_000 + sample(1.0, now)),
    }


@pytest.mark.slow
def test_hostile_requests_are_refused_and_leave_nothing_behind(
    client: FlaskClient, store: LocalStore, now: int
) -> None:
    bodies = {name: packed(raw) for name, raw in hostile(now).items()}
    for body in bodies.values():  # Once, so that the allocator has what it keeps.
        post(client, body)
    before, threads = resident_mb(), threading.active_count()
    for _ in range(2):
        for name, body in bodies.items():
            answer = post(client, body)
            assert answer.status_code in {400, 413}, name
            assert len(answer.text) < 2000, name
    assert threading.active_count() == threads
    assert resident_mb() < before + 30
    assert store.stats()["series"] == 0


def test_an_acknowledged_sample_survives_a_kill(tmp_path: Path) -> None:
    """A child serves a LocalStore; it is killed as soon as it has answered 200."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from flask import Flask\n"
        "from monitor.clock import SystemClock\n"
        "from monitor.metrics.http import prometheus_api\n"
        "from monitor.metrics.promql import PromqlEngine\n"
        "from monitor.metrics.store import LocalStore\n"
        "store = LocalStore(Path(sys.argv[1]), SystemClock())\n"
        "app = Flask('x')\n"
        "app.register_blueprint(prometheus_api(store, PromqlEngine(store), SystemClock(), targets=list))\n"
        f"body, headers = sys.stdin.buffer.read(), {V1!r}\n"
        f"answer = app.test_client().post({WRITE!r}, data=body, headers=headers)\n"
        "assert answer.status_code == 200, answer.data\n"
        "os.kill(os.getpid(), 9)\n"
    )
    at = SystemClock().now_ms()
    body = encode(block_of([(make_labels({}, "kept"), at, 42.0)]))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], input=body, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = LocalStore(tmp_path, SystemClock())
    window = store.window([], at - 1000, at)
    assert window.values[window.present].tolist() == [42.0]
    store.close()

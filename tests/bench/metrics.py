"""Ingest, rules, a range query and disk: our metric store against Debian's prometheus, given the same bodies.

The data (series.py) ends at the last even hour; the expressions are of the kind the rule library has. Query times lie
off the minute because the two differ in whether a range is closed.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from monitor.clock import ManualClock
from monitor.metrics import remote_write
from monitor.metrics.interface import SampleBlock, Vector, make_labels
from monitor.metrics.promql.engine import PromqlEngine
from monitor.metrics.store import LocalStore
from tests.bench.measure import ROUNDS, Measure, interleaved, per_cpu_second, wall_ms
from tests.bench.processes import Child
from tests.bench.series import SLOTS, blocks, series
from tests.real.sshd import free_port

HOUR = 3_600_000
BLOCKS_A_DAY = 12
PEER = "prometheus"
RULES = (
    "rate(ifHCInOctets[5m]) * 8 > 9e8",
    "avg_over_time(device_cpu_ratio[10m]) > 0.9",
    "changes(ifOperStatus[15m]) > 4",
    "increase(ifInErrors[10m]) > 100",
    "device_memory_used_bytes / device_memory_size_bytes > 0.9",
    "predict_linear(device_memory_used_bytes[1h], 4 * 3600) > device_memory_size_bytes",
)
RANGE = "sum by (site) (rate(ifHCInOctets[5m]))"
HEADERS = {
    "Content-Type": remote_write.CONTENT_TYPE,
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def run() -> list[Measure]:
    """All figures; without prometheus installed, ours alone."""
    installed = shutil.which("prometheus") is not None
    end = int(time.time() * 1000) // (2 * HOUR) * (2 * HOUR)
    labels = series()
    bodies = [remote_write.encode(block) for block in blocks(labels, end)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = {"ours": _our_server(stack, folder)}
        if installed:
            sides[PEER] = _prometheus(stack, folder)
        ingest = _ingest(sides, bodies, len(labels))
        store, decoding = _store(folder, bodies, end, len(labels))
        stack.callback(store.close)
        engine = PromqlEngine(store)
        _same_answers(engine, sides, end)
        rules = _rules(engine, sides, end)
        ranges = _ranges(sides, end)
        disk = _disk(folder, bodies, end) / (SLOTS * len(labels))
        peer_disk = _snapshot(sides[PEER], folder) / (SLOTS * len(labels)) if installed else None
    note = (
        f"{len(labels)} series; the goals were set on 102,000, where what a query costs by itself weighs less"
    )
    if not installed:
        note = "prometheus is not installed"
    name, unit = "remote_write ingest over HTTP", "samples per CPU second"
    return [
        Measure(name, unit, "higher", ingest["ours"], ingest.get(PEER), PEER, 10, note),
        Measure("decode and append alone", unit, "higher", decoding),
        Measure("typical rules", "ms", "lower", rules["ours"], rules.get(PEER), PEER, 150, note),
        Measure(
            "range query, 1 h by minute, sum by (site)",
            "ms",
            "lower",
            ranges["ours"],
            ranges.get(PEER),
            PEER,
            15,
            note,
        ),
        Measure("disk, two hours sealed", "bytes per sample", "lower", disk, peer_disk, PEER, 1.96, note),
    ]


@dataclass(frozen=True, slots=True)
class Server:
    """One side: where its API is, and the process that is charged."""

    api: str
    pid: int

    def ask(self, path: str, **parameters: str) -> dict[str, object]:
        """`data` of an answer of the API."""
        url = f"{self.api}/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            data: dict[str, object] = json.loads(answer.read())["data"]
            return data

    def write(self, body: bytes) -> None:
        """One remote_write request; an error is an exception."""
        urllib.request.urlopen(urllib.request.Request(f"{self.api}/write", body, HEADERS), timeout=60).close()


def _our_server(stack: ExitStack, folder: Path) -> Server:
    port = free_port()
    argv = [sys.executable, "-m", "tests.bench.core", str(folder / "served"), str(port)]
    child = stack.enter_context(Child(argv, folder / "core.log"))
    api = f"http://127.0.0.1:{port}/prometheus/api/v1"
    child.wait_for(f"{api}/status/buildinfo")
    return Server(api, child.pid)


def _prometheus(stack: ExitStack, folder: Path) -> Server:
    port = free_port()
    (folder / "prometheus.yml").write_text("global: {}\n", "utf-8")
    argv = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    argv += ["--web.enable-admin-api", "--log.level=error"]
    child = stack.enter_context(Child(argv, folder / "prometheus.log"))
    child.wait_for(f"http://127.0.0.1:{port}/-/ready")
    return Server(f"http://127.0.0.1:{port}/api/v1", child.pid)


def _ingest(sides: dict[str, Server], bodies: list[bytes], count: int) -> dict[str, float]:
    """Every side takes all bodies, in as many parts as there are rounds."""
    part = len(bodies) // ROUNDS

    def sender(server: Server) -> Callable[[], float]:
        rest = iter(bodies)

        def send() -> float:
            batch = list(islice(rest, part))
            return per_cpu_second(
                count * len(batch), server.pid, lambda: [server.write(body) for body in batch]
            )

        return send

    return interleaved({name: sender(server) for name, server in sides.items()})


def _decode(body: bytes) -> SampleBlock:
    return remote_write.decode(body, content_type=remote_write.CONTENT_TYPE, content_encoding="snappy")


def _store(folder: Path, bodies: list[bytes], end: int, count: int) -> tuple[LocalStore, float]:
    """A store in this process with the same data, and samples per CPU second of decoding and appending them."""
    store = LocalStore(folder / "store", ManualClock(end))
    rest = iter(bodies)
    part = len(bodies) // ROUNDS

    def append() -> float:
        batch = list(islice(rest, part))
        return per_cpu_second(count * part, 0, lambda: [store.append(_decode(body)) for body in batch])

    return store, interleaved({"ours": append})["ours"]


def _same_answers(engine: PromqlEngine, sides: dict[str, Server], end: int) -> None:
    """RuntimeError unless both sides find the same series for every rule, with and without its threshold."""
    at = end - 30_000
    for rule in (*RULES, *(rule.partition(" > ")[0] for rule in RULES)):
        found = engine.instant(rule, at)
        assert isinstance(found, Vector)
        ours = dict(zip(found.labels, found.values.tolist(), strict=True))
        for server in sides.values():
            result = server.ask("query", query=rule, time=f"{at / 1000:.3f}")["result"]
            theirs = {make_labels(one["metric"]): float(one["value"][1]) for one in result}  # type: ignore[attr-defined]
            if theirs.keys() != ours.keys() or not all(
                np.isclose(theirs[key], value, rtol=1e-6, atol=1e-9) for key, value in ours.items()
            ):
                raise RuntimeError(f"{server.api} answers {rule!r} differently")


def _rules(engine: PromqlEngine, sides: dict[str, Server], end: int) -> dict[str, float]:
    """Our engine as the alert engine calls it; prometheus by its API, whose answers here are nearly empty."""
    plans = [engine.compile(rule) for rule in RULES]

    def times() -> Iterator[int]:  # like an evaluation a second, so that no answer is one given before
        at = end - 50_000
        while True:
            yield (at := at + 1000)

    mine, theirs = times(), times()

    def ours() -> float:
        at = next(mine)
        return wall_ms(lambda: [engine.instant(plan, at) for plan in plans])

    def peer() -> float:
        at = f"{next(theirs) / 1000:.3f}"
        return wall_ms(lambda: [sides[PEER].ask("query", query=rule, time=at) for rule in RULES])

    return interleaved({"ours": ours} | ({PEER: peer} if PEER in sides else {}), 2 * ROUNDS + 1)


def _ranges(sides: dict[str, Server], end: int) -> dict[str, float]:
    """Over HTTP on both sides, as a page asks."""

    def asker(server: Server) -> Callable[[], float]:
        at = {"start": f"{end / 1000 - 3630:.3f}", "end": f"{end / 1000 - 30:.3f}", "step": "60"}
        return lambda: wall_ms(lambda: server.ask("query_range", query=RANGE, **at))

    return interleaved({name: asker(server) for name, server in sides.items()})


def _disk(folder: Path, bodies: list[bytes], end: int) -> float:
    """Bytes once the two hours are sealed: the chunks, and of the names, which are stored once, a day's share."""
    clock = ManualClock(end)
    store = LocalStore(folder / "sealed", clock)
    for body in bodies:
        store.append(_decode(body))
    clock.advance(2 * 3600)
    store.maintain()
    store.close()
    sealed = folder / "sealed"
    return _size(sealed / "chunks", "*") + _size(sealed, "catalog*") / BLOCKS_A_DAY


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def _snapshot(server: Server, folder: Path) -> int:
    """Bytes of a snapshot of the TSDB, which writes the head as a block: chunks and names."""
    request = urllib.request.Request(f"{server.api}/admin/tsdb/snapshot", b"")
    with urllib.request.urlopen(request, timeout=60) as answer:
        name = json.loads(answer.read())["data"]["name"]
    return _size(folder / "tsdb" / "snapshots" / name, "*")

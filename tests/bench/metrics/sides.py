"""The three sides as processes on the loopback: our metric core, Debian's prometheus, Debian's victoria-metrics."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path

from tests.bench.metrics.wire import HEADERS
from tests.bench.processes import Child, resident_mb
from tests.real.sshd import free_port

OURS, PROMETHEUS, VICTORIA = "ours", "prometheus", "victoria-metrics"
PEERS = (PROMETHEUS, VICTORIA)
ANSWER_SECONDS = 300


class Side:
    """One server: its process, its folder and one kept connection to its API."""

    def __init__(self, name: str, child: Child, folder: Path, port: int, prefix: str, ready: str) -> None:
        self.name, self.child, self.folder = name, child, folder
        self._prefix, self._ready = prefix, f"http://127.0.0.1:{port}{ready}"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)

    @property
    def pid(self) -> int:
        """The process that is charged."""
        return self.child.pid

    @property
    def resident_mb(self) -> float:
        """Its resident memory now, in 10^6 bytes."""
        return resident_mb(self.pid)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of an answer. RuntimeError for a status other than 2xx."""
        try:
            answer = self._answer(method, path, body, headers or {})
        except (RemoteDisconnected, ConnectionError):  # a server may close what was idle for a minute
            self.close()
            answer = self._answer(method, path, body, headers or {})
        content = answer.read()
        if answer.status // 100 != 2:
            raise RuntimeError(f"{self.name} answers {path[:200]} with {answer.status}: {content[:300]!r}")
        return content

    def _answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        self._connection.request(method, path, body, dict(headers))
        return self._connection.getresponse()

    def raw(self, path: str, **parameters: str) -> bytes:
        """An answer of the API as it comes."""
        return self.request("GET", f"{self._prefix}/{path}?{urllib.parse.urlencode(parameters)}")

    def ask(self, path: str, **parameters: str) -> dict[str, object]:
        """`data` of an answer of the API."""
        data: dict[str, object] = json.loads(self.raw(path, **parameters))["data"]
        return data

    def write(self, body: bytes) -> None:
        """One remote write request."""
        self.request("POST", f"{self._prefix}/write", body, HEADERS)

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric of its own page `/metrics`, of the series with a label; 0 when it is not there."""
        lines = self.request("GET", "/metrics").decode().splitlines()
        mine = [line for line in lines if line.startswith((f"{name} ", f"{name}{{")) and label in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine)

    def wait_until(self, done: Callable[[], bool], seconds: float) -> None:
        """Return when `done` is true; RuntimeError when it is not in time."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not done after {seconds:.0f} s")
            time.sleep(0.2)

    def start(self) -> None:
        """Return when it answers."""
        self.child.wait_for(self._ready)

    def flush(self) -> None:
        """Let queries find all that was written; only victoria-metrics holds new series back for a while."""
        if self.name == VICTORIA:
            self.request("GET", "/internal/force_flush")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def kill_and_start(self) -> None:
        """Kill it with SIGKILL and start it anew; it may not answer yet."""
        self.close()
        self.child.kill_and_start()

    def until_answered(self, query: str, at_ms: int, enough: float) -> None:
        """Ask until the query's one value is at least `enough`; RuntimeError when that takes too long."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                result = self.ask("query", query=query, time=seconds(at_ms))["result"]
                if result and float(result[0]["value"][1]) >= enough:  # type: ignore[index]
                    return
            except (OSError, HTTPException, RuntimeError):
                self._connection.close()
            self.child.check(deadline)
            time.sleep(0.01)


def seconds(at_ms: int) -> str:
    """Milliseconds as the API takes times."""
    return f"{at_ms / 1000:.3f}"


def available() -> tuple[str, ...]:
    """Ourselves and the peers that are installed."""
    return (OURS, *(name for name in PEERS if shutil.which(name)))


def start(stack: ExitStack, folder: Path, names: Iterable[str], now_ms: int) -> dict[str, Side]:
    """Start the named sides on folders of their own, ready to be asked. `now_ms` is what our clock begins at."""
    sides = {name: _STARTERS[name](stack, folder, now_ms) for name in names}
    for side in sides.values():
        stack.callback(side.close)
        side.start()
    return sides


def _ours(stack: ExitStack, folder: Path, now_ms: int) -> Side:
    port = free_port()
    argv = [sys.executable, "-m", "tests.bench.core", str(folder / OURS), str(port), str(now_ms)]
    child = stack.enter_context(Child(argv, folder / "core.log"))
    api = "/prometheus/api/v1"
    return Side(OURS, child, folder / OURS, port, api, f"{api}/status/buildinfo")


def _prometheus(stack: ExitStack, folder: Path, _now_ms: int) -> Side:
    port = free_port()
    config = {"rule_files": [str(folder / "rules-*.yml")]}
    (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
    argv = [
        PROMETHEUS,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder / PROMETHEUS}",
    ]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    argv += ["--web.enable-admin-api", "--web.enable-lifecycle", "--log.level=error"]
    child = stack.enter_context(Child(argv, folder / "prometheus.log"))
    return Side(PROMETHEUS, child, folder / PROMETHEUS, port, "/api/v1", "/-/ready")


def _victoria(stack: ExitStack, folder: Path, _now_ms: int) -> Side:
    port = free_port()
    argv = [VICTORIA, f"-storageDataPath={folder / VICTORIA}", f"-httpListenAddr=127.0.0.1:{port}"]
    argv += ["-retentionPeriod=1y", "-search.disableCache", "-search.latencyOffset=1s", "-loggerLevel=ERROR"]
    child = stack.enter_context(Child(argv, folder / "victoria.log"))
    return Side(VICTORIA, child, folder / VICTORIA, port, "/api/v1", "/health")


_STARTERS = {OURS: _ours, PROMETHEUS: _prometheus, VICTORIA: _victoria}


def load(sides: Iterable[Side], bodies: Iterator[bytes]) -> None:
    """Every side takes all bodies in order, the sides at the same time."""
    sides = list(sides)
    with ThreadPoolExecutor(len(sides)) as pool:
        pending: list[Future[None]] = []
        for body in bodies:
            for one in pending:
                one.result()
            pending = [pool.submit(side.write, body) for side in sides]
        for one in pending:
            one.result()
    for side in sides:
        side.flush()


def size(folder: Path) -> int:
    """Bytes of the files below a folder. RuntimeError when there is none."""
    found = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if not found:
        raise RuntimeError(f"there is nothing in {folder}")
    return found

"""A back end in memory, as strict as Prometheus or as lenient as VictoriaMetrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from monitor.clock import ManualClock
from monitor.metrics.interface import Labels, SampleBlock
from monitor.metrics.remote.backend import Answer, BackendError
from monitor.metrics.remote.forwarder import SETTLE_SECONDS
from monitor.metrics.remote_write import decode
from tests.monitor.metrics.oracle import bits_of

Judge = Callable[[Labels, int, float], bool]
Samples = dict[tuple[Labels, int], int]


def samples_of(block: SampleBlock) -> list[tuple[Labels, int, float]]:
    """(labels, ms, value) in the order of the block."""
    return [
        (tuple(block.labels[code]), at, value)
        for code, at, value in zip(
            block.series.tolist(), block.timestamps.tolist(), block.values.tolist(), strict=True
        )
    ]


class FakeBackend:
    """Implements the forwarder's Door. `script` holds the next answers: a status, or None for no answer.

    `lost` answers are taken but the sender hears nothing. `judge` False makes a request fail with 400, whole.
    """

    def __init__(self, judge: Judge = lambda labels, at, value: True) -> None:
        self.clock = ManualClock()
        self.taken: dict[tuple[Labels, int], float] = {}
        self.name = "http://backend.test/api/v1/write"
        self.script: deque[Answer | str | None] = deque()
        self.judge = judge
        self.requests: list[list[tuple[Labels, int, float]]] = []
        self.samples: Samples = {}
        self.stopped = False

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One remote write request."""
        block = decode(
            body, content_type=headers["Content-Type"], content_encoding=headers["Content-Encoding"]
        )
        sent = samples_of(block)
        self.requests.append(sent)
        scripted = self.script.popleft() if self.script else "take"
        if isinstance(scripted, Answer):
            return scripted
        if scripted is None:
            raise BackendError("no answer", where=self.name)
        if not all(self.judge(*sample) for sample in sent):
            return Answer(400, {}, b"out of order sample\nmore")
        for labels, at, value in sent:
            self.samples[labels, at] = bits_of(value)
            self.taken.setdefault((labels, at), self.clock.monotonic())
        if scripted == "lost":
            raise BackendError("connection reset", where=self.name)
        return Answer(204, {}, b"")

    def crash(self) -> None:
        """Killed, and back without what was not written yet; the sender's next request finds no connection."""
        limit = self.clock.monotonic() - SETTLE_SECONDS
        for key in [key for key, at in self.taken.items() if at > limit]:
            del self.samples[key], self.taken[key]
        self.script.appendleft(None)

    def stop(self) -> None:
        """End the exchange under way."""
        self.stopped = True

    def close(self) -> None:
        """Drop the connection."""


class StrictBackend(FakeBackend):
    """Takes no sample that is not newer than the newest of its series, but for an exact repetition of that one."""

    def __init__(self) -> None:
        super().__init__(self._fits)

    def _fits(self, labels: Labels, at: int, value: float) -> bool:
        newest = max((time for series, time in self.samples if series == labels), default=-1)
        return at > newest or (at == newest and self.samples[labels, at] == bits_of(value))

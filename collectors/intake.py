"""Takes what pollers read and puts it into the outbox: samples with their labels, status events, stale markers.

A result (collectors.interface.PollResult) comes with everything; the columns of a batch are only numbers for series
that a result announced. Safe from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import structlog

from collectors.enrich import (
    ReadingKey,
    Sample,
    SeriesBook,
    StatusBook,
    event_line,
    module_kind,
    own_readings,
)
from collectors.interface import PollResult
from collectors.outbox import Lane, Outbox, OutboxFull, Position
from collectors.telemetry import CollectorMetrics
from collectors.timetable import Task
from collectors.wire import RowEncoder, SampleEncoder, pack_rows
from monitor.clock import Clock
from monitor.events.interface import Event
from monitor.metrics.arrays import Floats, Ints
from monitor.model import Device, DeviceId

PAUSE_SECONDS = 5.0
_FRAME_SAMPLES = 20_000
log = structlog.get_logger(__name__)


class Intake:
    """See the module. When the outbox is full, what had to be dropped is counted and `paused` says to wait."""

    def __init__(self, collector: str, outbox: Outbox, metrics: CollectorMetrics, clock: Clock) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._series = SeriesBook()
        self._statuses = StatusBook(collector)
        self._encoder = SampleEncoder()
        self._lock = threading.Lock()
        self._rows: dict[tuple[DeviceId, str], RowEncoder] = {}
        self._paused_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether something was dropped a moment ago, so that polling had better wait."""
        return self._clock.monotonic() < self._paused_until

    def take(
        self, device: Device, region: str, result: PollResult, row: Sequence[ReadingKey] | None = ()
    ) -> None:
        """A poll's result; `row` names the readings that later columns of this device and module will hold (None: those
        it named before).
        """
        self._metrics.polls.labels(module_kind(result.module), "up" if result.up else "down").inc()
        self.record(self._series.samples(device, region, result))
        if row is not None:
            self._expect(device.id, result.module, row)
        told = self._statuses.event(device, result)
        if told is not None and not self.tell(*told):
            self._statuses.forget(device.id, result.module)

    def _expect(self, device: DeviceId, module: str, row: Sequence[ReadingKey]) -> None:
        """Prepare for columns of these readings, or for none."""
        encoder = None
        if row:
            encoder = RowEncoder(self._series.labels(device, module, [*own_readings(module), *row]))
        with self._lock:
            if encoder is not None:
                self._rows[device, module] = encoder
            else:
                self._rows.pop((device, module), None)

    def take_columns(
        self,
        devices: Mapping[DeviceId, Device],
        module: str,
        at_ms: int,
        polled: Sequence[DeviceId],
        counts: Ints,
        values: Floats,
        seconds: Floats,
    ) -> None:
        """Polls that found nothing but new numbers: device [i] has the next `counts` [i] of `values`."""
        ends = np.cumsum(counts)
        rows: list[bytes] = []
        samples = 0
        for at, name in enumerate(polled):
            with self._lock:
                encoder = self._rows.get((name, module))
            device = devices.get(name)
            if encoder is None or device is None:
                continue  # taken away meanwhile: its series have been ended already
            own = np.array([1.0, seconds[at]])
            rows.append(
                encoder.encode(at_ms, np.concatenate([own, values[ends[at] - counts[at] : ends[at]]]))
            )
            samples += len(encoder)
            if samples >= _FRAME_SAMPLES:
                self._spool("metrics", self._outbox.metrics, pack_rows(rows), samples)
                rows, samples = [], 0
            still = self._statuses.still(device, module, at_ms)
            if still is not None:
                self.tell(*still)
        if rows:
            self._spool("metrics", self._outbox.metrics, pack_rows(rows), samples)
        self._metrics.polls.labels(module_kind(module), "up").inc(len(polled))

    def end(self, tasks: Sequence[Task]) -> None:
        """End the series of what is not polled any more."""
        ended: list[Sample] = []
        for task in tasks:
            with self._lock:
                self._rows.pop((task.device, task.module), None)
            ended += self._series.end(task.device, task.module, self._clock.now_ms())
            self._statuses.forget(task.device, task.module)
        self.record(ended)

    def tell(self, key: str, event: Event) -> bool:
        """Spool an event; False when it had to be dropped."""
        return self.spool_event(key, event) is not None

    def spool_event(self, key: str, event: Event) -> Position | None:
        """Spool an event and say where it lies."""
        return self._spool("events", self._outbox.events, event_line(key, event), 1)

    def record(self, samples: Sequence[Sample]) -> bool:
        """Spool samples; False when they had to be dropped."""
        if not samples:
            return True
        payload = self._encoder.encode(samples)
        return self._spool("metrics", self._outbox.metrics, payload, len(samples)) is not None

    def _spool(self, name: str, lane: Lane, payload: bytes, entries: int) -> Position | None:
        try:
            return lane.append(payload, entries)
        except OutboxFull as error:
            self._metrics.dropped.labels(name).inc(entries)
            if not self.paused:
                log.error("data dropped, polling pauses", lane=name, entries=entries, reason=str(error))
            self._paused_until = self._clock.monotonic() + PAUSE_SECONDS
            return None

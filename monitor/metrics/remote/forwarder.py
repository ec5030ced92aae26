"""Forwards every sample of the write-ahead log by remote_write, at least once, in the order of each series.

2xx                          stored
401, 403, 404, 405, 407,     the door is closed, not the samples wrong: tried again for ever, with exponential
408, 425, 429, 3xx, 5xx,     back-off (Retry-After is respected), while the log keeps what the cursor has not passed
no answer
400, 409, 413, 422 ...       the request is halved and tried again, so that a bad sample does not take the others
                             with it; what is still refused is dropped, counted and logged
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from monitor.clock import Clock
from monitor.errors import IntegrityError
from monitor.metrics.journal import Entry, unpack
from monitor.metrics.remote.backend import Answer, BackendError
from monitor.metrics.remote.batches import LabelsOf, Names, Order, Part, halves, parts_of
from monitor.metrics.remote.cursor import load_cursor, save_cursor
from monitor.metrics.remote.interface import Door, ForwardState, Keep
from monitor.metrics.remote_write import CONTENT_TYPE, Encoder
from monitor.metrics.wal_reader import Position, WalReader

BATCH_SAMPLES = 10_000
LINGER_SECONDS = 1.0
FIRST_DELAY = 0.5
MAX_DELAY = 60.0
MAX_RETRY_AFTER = 300.0
SETTLE_SECONDS = 30.0
_SPLITS = 5
_CLOSED = frozenset({401, 403, 404, 405, 407, 408, 425, 429})
_NOTHING = Entry((), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))
_HEADERS: Mapping[str, str] = {
    "Content-Type": CONTENT_TYPE,
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Batch:
    """Frames on their way: the requests still to be answered, and what became of the others."""

    until: Position
    oldest_ms: int
    parts: deque[Part]
    size: int
    sent: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    refused: int = 0


class Forwarder:
    """One log, one back end. `step` does a bit of work and tells how long to wait; `run` calls it in a thread."""

    def __init__(
        self, reader: WalReader, labels_of: LabelsOf, door: Door, folder: Path, clock: Clock, keep: Keep
    ) -> None:
        self._reader = reader
        self._names = Names(labels_of)
        self._encoder = Encoder()
        self._door = door
        self._folder = folder
        self._clock = clock
        self._keep = keep
        self._cursor = load_cursor(folder, door.name)
        self._unsaved = False
        self._unreadable: set[Position] = set()
        self._batch: _Batch | None = None
        self._answered: deque[tuple[float, Position]] = deque()
        self._delay = 0.0
        self._sent_at = clock.monotonic() - LINGER_SECONDS
        self._stopping = threading.Event()
        self._rewind()

    def run(self) -> None:
        """Forward until stopped."""
        while not self._stopping.is_set():
            try:
                wait = self.step()
            except Exception:
                # Forwarding must not end, whatever is wrong with the disk or a frame: the log would grow to its cap.
                log.exception("forwarding failed and is tried again")
                wait = self._longer()
            self._stopping.wait(wait)
        self._door.close()
        self.save()

    def stop(self) -> None:
        """End `run` soon; the request under way is cut and will be sent again."""
        self._stopping.set()
        self._door.stop()

    def save(self) -> None:
        """Put the cursor on disk if it moved, and let go of the log before it. Raises OSError."""
        if self._unsaved:
            save_cursor(self._folder, self._cursor)
            self._unsaved = False
            self._reader.release(self._cursor.settled)

    def state(self) -> ForwardState:
        """For metrics; may be called from any thread."""
        cursor, batch = self._cursor, self._batch
        pending = self._reader.pending_bytes(cursor.done)
        lag = (self._clock.now_ms() - batch.oldest_ms) / 1000 if batch is not None else 0.0
        damaged = self._reader.damaged + len(self._unreadable)
        return ForwardState(cursor, pending, max(0.0, lag), damaged, self._reader.missing)

    def step(self) -> float:
        """Send what may be sent now; the seconds to wait before the next step. Raises OSError (the own disk)."""
        self._expire()
        if self._batch is None:
            wait = self._gather()
            if self._batch is None:
                return wait
        return self._send(self._batch)

    def _rewind(self) -> None:
        """Go back to what the back end surely has on its disk; what follows is sent as if it were new."""
        cursor = self._cursor
        self._read = cursor.settled
        self._marks = deque(mark for mark in (cursor.done, cursor.until) if mark and mark > cursor.settled)
        self._answered.clear()
        self._order = Order()
        self._batch = None

    def _gather(self) -> float:
        """Put the next batch together, unless little is waiting and more may come within the second."""
        entries, until = self._next_entries()
        if not entries:
            self._marks.clear()
            self.save()
            return LINGER_SECONDS / 2
        size = sum(len(entry.series) for entry in entries)
        rest = self._sent_at + LINGER_SECONDS - self._clock.monotonic()
        if not self._marks and rest > 0 and size < BATCH_SAMPLES:
            return rest
        cursor = self._cursor
        known = until <= cursor.done
        again = not known and cursor.until is not None and until <= cursor.until
        self._change(until=max(until, cursor.until or until))
        self.save()
        for entry in entries:
            self._names.learn(entry)
        parts, unnamed = parts_of(entries, self._names, self._order, BATCH_SAMPLES)
        parts = [replace(part, known=known, again=again) for part in parts]
        self._batch = _Batch(until, int(entries[0].timestamps.max(initial=0)), deque(parts), size)
        if unnamed and not known:
            self._batch.dropped["unnamed"] = unnamed
            log.error("samples without a series name cannot be forwarded", samples=unnamed)
        return 0.0

    def _next_entries(self) -> tuple[list[Entry], Position]:
        """What the next batch is made of: after an outage what it was before, to the frame."""
        entries: list[Entry] = []
        until = self._read
        while self._marks and self._marks[0] <= until:
            self._marks.popleft()
        count = 0
        for found in self._reader.frames(until):
            if found.after <= self._read:
                self._start_over(Position(found.after.segment))
            until = found.after
            try:
                entry = unpack(found.payload)
            except IntegrityError as error:
                # Written by another version of the program; there is nothing to wait for.
                self._unreadable.add(until)
                log.error("a log entry cannot be forwarded", error=str(error))
                entry = _NOTHING
            entries.append(entry)
            count += len(entry.series)
            if count >= BATCH_SAMPLES or (self._marks and self._marks[0] <= until):
                break
        return entries, until

    def _start_over(self, position: Position) -> None:
        """The log is not the one that was read (mended, restored): what comes now counts as new."""
        self._read = position
        self._marks.clear()
        self._answered.clear()
        self._change(settled=position, done=position, until=None)

    def _send(self, batch: _Batch) -> float:
        """Send what is left of a batch."""
        while batch.parts:
            part = batch.parts[0]
            answer = self._ask(part)
            if answer is None or _is_closed(answer.status):
                batch.parts[0] = replace(part, again=True)
                if self._answered and (answer is None or answer.status >= 500):
                    # It may have been killed, and come back without what it answered last.
                    self._rewind()
                return self._later(answer)
            self._delay = 0.0
            batch.parts.popleft()
            if answer.status < 300:
                batch.sent += 0 if part.known else part.size
            elif part.size > 1 and part.splits < _SPLITS:
                batch.parts.extendleft(reversed(halves(part)))
            elif not part.known:
                self._drop(batch, part, answer)
        self._finish(batch)
        return 0.0

    def _finish(self, batch: _Batch) -> None:
        cursor = self._cursor
        settled = cursor.settled
        if cursor.failure:
            log.info("samples are forwarded again", to=self._door.name)
        self._sent_at = self._clock.monotonic()
        # Only an answer proves that the back end lived through the time it needs to write what it had answered.
        while self._answered and self._answered[0][0] <= self._sent_at - SETTLE_SECONDS:
            settled = self._answered.popleft()[1]
        self._change(
            settled=settled,
            done=max(cursor.done, batch.until),
            until=None if cursor.until is None or cursor.until <= batch.until else cursor.until,
            sent=cursor.sent + batch.sent,
            dropped=dict(Counter(cursor.dropped) + batch.dropped),
            refused_batches=cursor.refused_batches + batch.refused,
            failure="",
            failing_since_ms=0,
        )
        self._read = batch.until
        self._batch = None
        self._answered.append((self._sent_at, batch.until))
        if batch.size < BATCH_SAMPLES:
            # After a full batch the next one follows at once, and its start is saved together with this one's end.
            self.save()

    def _ask(self, part: Part) -> Answer | None:
        try:
            answer = self._door.post("", self._encoder.encode(part.block), _HEADERS)
        except BackendError as error:
            if not self._stopping.is_set():
                self._failing(error.message)
            return None
        if _is_closed(answer.status):
            self._failing(f"status {answer.status} {answer.text}".strip())
        return answer

    def _drop(self, batch: _Batch, part: Part, answer: Answer) -> None:
        reason = "refused_again" if part.again else "refused"
        batch.dropped[reason] += part.size
        batch.refused += 1
        if batch.refused > 1:
            return
        log.error(
            "the back end refuses samples, which are dropped; said once a batch",
            to=self._door.name,
            samples=part.size,
            status=answer.status,
            answer=answer.text,
            first=dict(part.block.labels[int(part.block.series[0])]),
            again=part.again,
        )

    def _failing(self, reason: str) -> None:
        if reason != self._cursor.failure:
            log.warning("samples cannot be forwarded now and are kept", to=self._door.name, reason=reason)
            since = self._cursor.failing_since_ms or self._clock.now_ms()
            self._change(failure=reason, failing_since_ms=since)
            self.save()

    def _later(self, answer: Answer | None) -> float:
        self._change(retries=self._cursor.retries + 1)
        asked = self._retry_after(answer.headers.get("retry-after", "")) if answer is not None else 0.0
        return max(self._longer(), min(asked, MAX_RETRY_AFTER))

    def _longer(self) -> float:
        self._delay = min(MAX_DELAY, max(FIRST_DELAY, 2 * self._delay))
        return self._delay

    def _retry_after(self, text: str) -> float:
        """Seconds of a Retry-After header (a number or a date), 0 when it says nothing usable."""
        if text.isdecimal():
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock.now_ms() / 1000)
        except ValueError:
            return 0.0

    def _expire(self) -> None:
        """Give up what is older or more than may be kept: counted, and said."""
        kept = [segment for segment in self._reader.kept() if segment.number >= self._cursor.settled.segment]
        size = sum(segment.size for segment in kept)
        oldest = self._clock.now_ms() - self._keep.ms
        last = 0
        for segment in kept:
            if size <= self._keep.size and segment.written_ms >= oldest:
                break
            size -= segment.size
            last = segment.number
        if last:
            self._give_up(last)

    def _give_up(self, segment: int) -> None:
        """Go on behind a segment; what of it was not answered yet is lost."""
        cursor = self._cursor
        position = Position(segment + 1)
        lost = 0
        for found in self._reader.frames(cursor.done):
            if found.after.segment > segment:
                break
            lost += _size(found.payload)
        if lost:
            log.error(
                "samples waited too long to be forwarded and are dropped", to=self._door.name, samples=lost
            )
        until = cursor.until if cursor.until is not None and cursor.until > position else None
        dropped = dict(Counter(cursor.dropped) + Counter(expired=lost))
        self._change(settled=position, done=max(cursor.done, position), until=until, dropped=dropped)
        self._rewind()
        self.save()

    def _change(self, **changes: Any) -> None:
        self._cursor = replace(self._cursor, **changes)
        self._unsaved = True


def _size(payload: bytes) -> int:
    """The samples of an entry; one of another version counts none."""
    try:
        return len(unpack(payload).series)
    except IntegrityError:
        return 0


def _is_closed(status: int) -> bool:
    return status in _CLOSED or not (200 <= status < 300 or 400 <= status < 500)

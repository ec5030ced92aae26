"""Sends a lane to the core, oldest first, until the core has it.

2xx                          stored: the frames leave the lane
400, 413, 415, 422, ...      the data itself is refused: frames are sent one by one, a refused one goes to the
                             dead-letter file and is counted; the others go on
401, 403, 404, 408, 429,     the door is closed, not the data wrong: kept and tried again, for ever, with exponential
5xx, no answer               back-off (the core's Retry-After is respected)
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cramjam
import structlog

from collectors.outbox import Frame, Lane
from collectors.uplink import Answer, CoreClient, UplinkError

BATCH_BYTES = 1 << 20
BATCH_ENTRIES = 20_000
LINGER = 0.3
FIRST_DELAY = 0.5
MAX_DELAY = 60.0
MAX_DEAD_BYTES = 64 << 20
RETRY = frozenset({401, 403, 404, 405, 407, 408, 425, 429})
log = structlog.get_logger(__name__)


class Counter(Protocol):
    """What of a prometheus-client counter is used here."""

    def inc(self, amount: float = 1) -> None:
        """Count."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """How the frames of one lane become a request."""

    name: str
    path: str
    headers: dict[str, str]
    join: Callable[[Sequence[bytes]], bytes]


def join_remote_write(payloads: Sequence[bytes]) -> bytes:
    """Several remote write bodies as one: concatenated protobuf messages merge (protobuf encoding, "Last One Wins"
    and repeated fields), so only the compression is undone and redone.
    """
    if len(payloads) == 1:
        return payloads[0]
    plain = b"".join(bytes(cramjam.snappy.decompress_raw(payload)) for payload in payloads)
    return bytes(cramjam.snappy.compress_raw(plain))


METRICS = Route(
    "metrics",
    "/prometheus/api/v1/write",
    {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    join_remote_write,
)
EVENTS = Route("events", "/api/v1/ingest/events", {"Content-Type": "application/x-ndjson"}, b"".join)


class Pusher:
    """Empties one lane; `run` in a thread of its own, `stop` ends it at the next chance."""

    def __init__(
        self, lane: Lane, route: Route, client: CoreClient, dead_letters: Path, refused: Counter
    ) -> None:
        self._lane = lane
        self._route = route
        self._client = client
        self._dead = dead_letters
        self._refused = refused
        self._stop = threading.Event()
        self._delay = 0.0

    def run(self) -> None:
        """Send until stopped."""
        while not self._stop.is_set():
            try:
                if not self._lane.wait(1.0):
                    continue
                self._gather()
                if self.step():
                    continue
            except OSError as error:
                # The spool's own disk: nothing is lost by trying again, and ending here would stop the lane for good.
                log.error("the spool cannot be read", lane=self._route.name, reason=str(error))
                self._back_off(None)
            self._stop.wait(self._delay)
        self._client.close()

    def _gather(self) -> None:
        """While little is waiting, give the next polls a moment, so that they share a request."""
        if not self._delay and self._lane.state().pending_bytes < BATCH_BYTES // 4:
            self._stop.wait(LINGER)

    def stop(self) -> None:
        """End `run`; a request under way is finished first."""
        self._stop.set()
        self._lane.wake()

    def step(self) -> bool:
        """Send one batch; False when the core could not take it now."""
        frames = self._lane.read(max_bytes=BATCH_BYTES, max_entries=BATCH_ENTRIES)
        if not frames:
            return True
        answer = self._send(frames)
        if answer is not None and 200 <= answer.status < 300:
            return self._done(frames)
        if answer is None or answer.status in RETRY or not 400 <= answer.status < 500:
            return self._later(answer)
        if len(frames) > 1:
            return self._one_by_one(frames)
        return self._bury(frames[0], answer)

    def _one_by_one(self, frames: Sequence[Frame]) -> bool:
        """Find the frames the core refuses, so that they do not take others with them."""
        for frame in frames:
            answer = self._send([frame])
            if answer is None or answer.status in RETRY or answer.status >= 500:
                return self._later(answer)
            if answer.status >= 400:
                self._bury(frame, answer)
            else:
                self._done([frame])
        return True

    def _send(self, frames: Sequence[Frame]) -> Answer | None:
        body = self._route.join([frame.payload for frame in frames])
        try:
            return self._client.request("POST", self._route.path, body=body, headers=self._route.headers)
        except UplinkError as error:
            if not self._delay:
                log.warning("the core does not answer, spooling", lane=self._route.name, reason=error.message)
            return None

    def _done(self, frames: Sequence[Frame]) -> bool:
        if self._delay:
            log.info("the core takes data again", lane=self._route.name)
        self._delay = 0.0
        self._lane.acknowledge(frames)
        return True

    def _later(self, answer: Answer | None) -> bool:
        if answer is not None and not self._delay:
            said = answer.body[:200].decode("utf-8", "replace")
            log.warning(
                "the core cannot take data now", lane=self._route.name, status=answer.status, said=said
            )
        self._back_off(answer)
        return False

    def _back_off(self, answer: Answer | None) -> None:
        self._delay = min(MAX_DELAY, max(FIRST_DELAY, self._delay * 2))
        wish = answer.headers.get("retry-after", "") if answer is not None else ""
        if wish.isdigit():
            self._delay = min(MAX_DELAY, max(self._delay, float(wish)))
        # Spread, so that the collectors of a city do not all come back in the same second.
        self._delay *= 0.75 + random.random() / 4  # noqa: S311

    def _bury(self, frame: Frame, answer: Answer) -> bool:
        said = answer.body[:500].decode("utf-8", "replace")
        log.error(
            "the core refuses data, moved to the dead-letter file",
            lane=self._route.name,
            status=answer.status,
            said=said,
            entries=frame.entries,
            file=str(self._dead),
        )
        self._dead.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._dead.exists() and self._dead.stat().st_size > MAX_DEAD_BYTES:
            self._dead.replace(self._dead.with_suffix(".old"))
        with self._dead.open("ab") as file:
            file.write(len(frame.payload).to_bytes(4, "little") + frame.payload)
        self._refused.inc(frame.entries)
        self._lane.acknowledge([frame])
        return True

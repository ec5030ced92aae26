"""Gathers the figures of condition.StoreReport in the core, and serves them on its socket."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping

import orjson
from flask import Blueprint, Response

from monitor.metrics.api.gate import QueryGate
from monitor.metrics.condition import ADDRESS, Count, Recent, RemoteReport, StoreReport
from monitor.metrics.errors import StorageError
from monitor.metrics.piece import NEVER
from monitor.metrics.refusals import Refusals
from monitor.metrics.remote.cursor import load_cursor
from monitor.metrics.store import LocalStore
from monitor.service import Runtime

_KINDS = ("wal", "chunk", "index", "file", "catalog")
_SITE = "series_refused:"
_DROPPED = "remote_dropped"


class Caretaker:
    """Looks after the store once a minute, and knows how it is.

    Built on the store and the gate of the queries; the lag of forwarding comes from the registry, where its service
    shows it.
    """

    def __init__(self, runtime: Runtime, gate: QueryGate) -> None:
        clock = runtime.clock
        self._store = runtime.store
        self._gate = gate
        self._registry = runtime.registry
        self._folder = runtime.settings.folder / "metrics"
        self._forwards = bool(runtime.settings.remote_write_url)
        self._clock = clock
        self._recent = Recent()
        self._lock = threading.Lock()
        self.writing = Refusals(clock)
        self.sealing = Refusals(clock)

    def blueprint(self) -> Blueprint:
        """`GET /api/v1/platform/store`: the report as JSON."""
        made = Blueprint("platform", __name__)
        made.add_url_rule(ADDRESS, "store", self._answer)
        return made

    def _answer(self) -> Response:
        return Response(orjson.dumps(self.report()), content_type="application/json")

    def look(self) -> None:
        """Remember the counters, so that it can be told how fast they grow."""
        counts = self._counts()
        with self._lock:
            self._recent.note(self._clock.now_ms(), counts)

    def maintain(self) -> None:
        """The store's own upkeep. Raises StorageError when the disk does not take what is sealed."""
        self.look()
        if not isinstance(self._store, LocalStore):
            return
        try:
            self._store.maintain()
        except StorageError as error:
            self.sealing.refused(error)
            raise
        self.sealing.taken()

    def report(self) -> StoreReport:
        """The figures of this moment."""
        now, counts = self._clock.now_ms(), self._counts()
        with self._lock:
            grown = self._recent.grown(counts)
            speed = self._recent.per_second(now, "samples", counts["samples"])
        stats, queries = self._store.stats(), self._gate.stats()
        return StoreReport(
            at_ms=now,
            series=int(stats.get("series", 0)),
            samples_per_second=speed,
            wal_bytes=int(stats.get("wal_bytes", 0)),
            chunk_bytes=int(stats.get("chunk_bytes", 0)),
            memory_bytes=int(stats.get("head_bytes", 0)),
            free_bytes=shutil.disk_usage(self._folder if self._folder.is_dir() else self._folder.parent).free,
            held_from_ms=self._held_from_ms(),
            damaged=tuple(
                Count(kind, int(n)) for kind in _KINDS if (n := stats.get(f"quarantined_{kind}", 0))
            ),
            set_aside=sum(1 for _ in self._folder.glob("**/quarantine/*")),
            queries_running=int(queries["running"]),
            queries_waiting=int(queries["waiting"]),
            queries_places=self._gate.places,
            queries_refused=grown.get("queries_refused", 0),
            series_refused=tuple(
                Count(name.removeprefix(_SITE), n) for name, n in grown.items() if name.startswith(_SITE)
            ),
            writing=self.writing.now,
            sealing=self.sealing.now,
            remote=self._remote(grown),
        )

    def _counts(self) -> Mapping[str, float]:
        counts = {
            "samples": self._store.stats().get("samples_appended", 0.0),
            "queries_refused": self._gate.stats()["refused"],
        }
        if isinstance(self._store, LocalStore):
            counts |= {f"{_SITE}{site}": float(n) for site, n in self._store.cardinality.refused.items()}
        if self._forwards:
            # Counted over restarts, so that what an earlier process dropped is not taken for new.
            counts[_DROPPED] = float(sum(load_cursor(self._folder / "remote").dropped.values()))
        return counts

    def _remote(self, grown: Mapping[str, int]) -> RemoteReport | None:
        if not self._forwards:
            return None
        cursor = load_cursor(self._folder / "remote")
        shown = {
            sample.name: sample.value
            for family in self._registry.collect()
            if family.name.startswith("zhishou_remote_")
            for sample in family.samples
        }
        return RemoteReport(
            failure=cursor.failure,
            failing_since_ms=cursor.failing_since_ms,
            lag_seconds=shown.get("zhishou_remote_lag_seconds", 0.0),
            pending_bytes=int(shown.get("zhishou_remote_pending_bytes", 0)),
            dropped=grown.get(_DROPPED, 0),
        )

    def _held_from_ms(self) -> int:
        held = self._store.held_from_ms() if isinstance(self._store, LocalStore) else int(NEVER)
        return 0 if held == NEVER else held

"""The embedded event store: one SQLite file per UTC day, so that retention is unlinking a file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.clock import to_datetime
from monitor.errors import InputError
from monitor.events.interface import Event, EventQuery
from monitor.model import Scope, SiteId

SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, site TEXT NOT NULL, device TEXT NOT NULL,
  action TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS event_at ON event (at);
CREATE INDEX IF NOT EXISTS event_device ON event (device, at);
"""
MIN_RETENTION_DAYS = 180


class SqliteEvents:
    """EventStore over a folder of day files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, sqlite3.Connection] = {}

    def append(self, events: Sequence[tuple[str, Event]]) -> int:
        """Store durably; returns how many ids were new. InputError when an event has no `@timestamp`."""
        days: dict[str, list[tuple[str, int, str, str, str, str]]] = {}
        for key, event in events:
            at = event.get("@timestamp")
            if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 1 << 43:
                raise InputError("an event needs @timestamp in milliseconds", where=key[:64])
            row = (
                key,
                at,
                str(event.get("zhishou.site") or ""),
                str(event.get("zhishou.device") or ""),
                str(event.get("event.action") or ""),
                json.dumps(dict(event), ensure_ascii=False),
            )
            days.setdefault(f"{to_datetime(at):%Y-%m-%d}", []).append(row)
        new = 0
        with self._lock:
            for day, rows in days.items():
                connection = self._connection(day)
                with connection:
                    before = connection.total_changes
                    connection.executemany("INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?)", rows)
                    new += connection.total_changes - before
        return new

    def search(self, query: EventQuery, scope: Scope) -> list[Event]:
        """Matching events of the caller's sites, newest first."""
        found: list[Event] = []
        day = to_datetime(min(query.end_ms, int(datetime.now(UTC).timestamp() * 1000) + 86_400_000)).date()
        first = to_datetime(max(query.start_ms, 0)).date()
        names = sorted((p.stem for p in self._folder.glob("????-??-??.db")), reverse=True)
        with self._lock:
            for name in names:
                if first.isoformat() <= name <= day.isoformat() and len(found) < query.limit:
                    found += self._search_day(name, query, scope, query.limit - len(found))
        return found

    def expire(self, days: int, today_ms: int) -> int:
        """Unlink day files older than the retention (never under 180 days); returns how many."""
        oldest = to_datetime(today_ms).date() - timedelta(days=max(days, MIN_RETENTION_DAYS))
        gone = 0
        with self._lock:
            for path in self._folder.glob("????-??-??.db"):
                if path.stem < oldest.isoformat():
                    if path.stem in self._open:
                        self._open.pop(path.stem).close()
                    path.unlink()
                    gone += 1
        return gone

    def close(self) -> None:
        """Release files."""
        with self._lock:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def _search_day(self, day: str, query: EventQuery, scope: Scope, limit: int) -> list[Event]:
        sql = "SELECT site, body FROM event WHERE at > ? AND at <= ?"
        values: list[str | int] = [query.start_ms, query.end_ms]
        if query.device:
            sql += " AND device = ?"
            values.append(query.device)
        if query.action:
            sql += " AND substr(action, 1, length(?)) = ?"
            values += [query.action, query.action]
        if query.text:
            sql += " AND instr(lower(body), lower(?)) > 0"
            values.append(query.text)
        found: list[Event] = []
        for site, body in self._connection(day).execute(sql + " ORDER BY at DESC", values):
            if scope.allows(SiteId(site) if site else None):
                found.append(json.loads(body))
                if len(found) == limit:
                    break
        return found

    def _connection(self, day: str) -> sqlite3.Connection:
        if day not in self._open:
            connection = sqlite3.connect(self._folder / f"{day}.db", check_same_thread=False, timeout=10)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(SCHEMA)
            self._open[day] = connection
        return self._open[day]

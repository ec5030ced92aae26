"""Scans and known ranges in the state database: asked for by people or the calendar, run by the site's collector."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.audit import AuditLog, Detail
from monitor.clock import Clock
from monitor.database import Database
from monitor.directory import Directory
from monitor.discovery.grants import SiteCredentials
from monitor.discovery.interface import DEFAULT_RATE, MAX_RATE, RangeView, ScanOrder, ScanView
from monitor.discovery.ranges import parse_ranges
from monitor.discovery.tables import RangeRow, ScanRow
from monitor.errors import InputError, NotFoundError
from monitor.events.interface import Event
from monitor.model import WHOLE_CITY, Scope, SiteId

OPEN = ("queued", "running")
OVER = ("done", "cancelled", "failed")
WEEK_MS = 7 * 86_400_000
UNTAKEN_MS = 86_400_000
SILENT_MS = 3_600_000
_MAX_OPEN = 20  # scans of one site that may wait
_MAX_SKIPPED = 500


class Scans:
    """What is scanned. Every method that takes a Scope keeps to it."""

    def __init__(
        self, database: Database, directory: Directory, grants: SiteCredentials, audit: AuditLog, clock: Clock
    ) -> None:
        self._database = database
        self._directory = directory
        self._grants = grants
        self._audit = audit
        self._clock = clock

    def start(
        self,
        scope: Scope,
        site: str,
        ranges: Sequence[str],
        actor: str,
        *,
        credentials: Sequence[str] = (),
        port: int = 161,
        rate: float = DEFAULT_RATE,
        origin: str = "manual",
    ) -> int:
        """Queue a scan; returns its id, that of the same scan when it is still open. InputError says what is wrong."""
        names, total = self._check(scope, site, ranges, credentials, port, rate)
        body, keys = json.dumps(list(ranges)), json.dumps(list(names))
        with self._database.session() as session:
            waiting = session.scalars(
                select(ScanRow).where(ScanRow.site == site, ScanRow.state.in_(OPEN))
            ).all()
            for row in waiting:
                if (row.ranges, row.credentials, row.port) == (body, keys, port):
                    return row.id
            if len(waiting) >= _MAX_OPEN:
                raise InputError(
                    f"{len(waiting)} scans of site {site} are open already",
                    zh=f"机构 {site} 已有 {len(waiting)} 个未完成的扫描",
                )
            made = ScanRow(
                site=site, ranges=body, credentials=keys, port=port, rate=rate, total=total, actor=actor,
                origin=origin, created_at=self._clock.now_ms(),
            )  # fmt: skip
            session.add(made)
            session.flush()
            number = made.id
        detail: Detail = {
            "scan": number,
            "ranges": ", ".join(ranges)[:500],
            "credentials": ", ".join(names),
            "port": port,
            "rate": rate,
            "origin": origin,
        }
        self._audit.record(actor, "discovery.scan", site, detail)
        return number

    def start_known(self, scope: Scope, site: str, actor: str, *, origin: str = "manual") -> list[int]:
        """Queue a scan of every known range of a site; returns their ids. InputError when it has none."""
        known = self.ranges(scope, self._directory.site(scope, site).id)
        if not known:
            raise InputError(
                f"site {site} has no known range",
                hint="start a scan in the console and keep its range",
                zh=f"机构 {site} 没有登记网段，请先在控制台发起扫描并保存网段",
            )
        return [self._start_range(scope, view, actor, origin) for view in known]

    def get(self, scope: Scope, scan: int) -> ScanView:
        """One scan; NotFoundError outside the scope."""
        with self._database.session() as session:
            row = session.get(ScanRow, scan)
        if row is None or not scope.allows(SiteId(row.site)):
            raise NotFoundError(f"no scan {scan}", zh=f"没有扫描 {scan}")
        return _scan(row)

    def scans(
        self, scope: Scope, *, site: str = "", only_open: bool = False, limit: int = 100
    ) -> list[ScanView]:
        """Newest first."""
        wanted = select(ScanRow).order_by(ScanRow.id.desc()).limit(limit)
        if site:
            wanted = wanted.where(ScanRow.site == site)
        if only_open:
            wanted = wanted.where(ScanRow.state.in_(OPEN))
        if scope.sites is not None:
            wanted = wanted.where(ScanRow.site.in_(scope.sites))
        with self._database.session() as session:
            return [_scan(row) for row in session.scalars(wanted)]

    def cancel(self, scope: Scope, scan: int, actor: str) -> ScanView:
        """End a scan now; its collector stops when it next asks for its work. One that is over stays as it is."""
        view = self.get(scope, scan)
        with self._database.session() as session:
            row = session.get_one(ScanRow, scan)
            if row.state not in OPEN:
                return view
            row.state, row.finished_at, row.eta = "cancelled", self._clock.now_ms(), None
            row.reason = _reason("cancelled", f"cancelled by {actor}", f"{actor} 取消")
        self._audit.record(actor, "discovery.cancel", view.site, {"scan": scan})
        return self.get(scope, scan)

    # -- known ranges -----------------------------------------------------------------------------------------

    def ranges(self, scope: Scope, site: str = "") -> Sequence[RangeView]:
        """Known ranges of the visible sites."""
        wanted = select(RangeRow).order_by(RangeRow.site, RangeRow.id)
        if site:
            wanted = wanted.where(RangeRow.site == site)
        with self._database.session() as session:
            return [_range(row) for row in session.scalars(wanted) if scope.allows(SiteId(row.site))]

    def keep_range(
        self,
        scope: Scope,
        site: str,
        ranges: Sequence[str],
        actor: str,
        *,
        credentials: Sequence[str] = (),
        port: int = 161,
        rate: float = DEFAULT_RATE,
        weekly: bool = False,
    ) -> int:
        """Remember what a site uses; the same ranges and port replace what was kept. No credential named: whatever
        the site's set is when they are scanned.
        """
        self._check(scope, site, ranges, credentials, port, rate)
        body = json.dumps(list(ranges))
        with self._database.session() as session:
            row = session.scalars(
                select(RangeRow).where(RangeRow.site == site, RangeRow.ranges == body, RangeRow.port == port)
            ).first()
            if row is None:
                row = RangeRow(site=site, ranges=body, port=port, created_at=self._clock.now_ms())
                session.add(row)
            row.credentials, row.rate = json.dumps(list(credentials)), rate
            row.weekly, row.actor = weekly, actor
            session.flush()
            number = row.id
        detail: Detail = {"ranges": ", ".join(ranges)[:500], "port": port, "weekly": weekly}
        self._audit.record(actor, "discovery.range", site, detail)
        return number

    def forget_range(self, scope: Scope, number: int, actor: str) -> None:
        """Forget a known range; NotFoundError outside the scope."""
        with self._database.session() as session:
            row = session.get(RangeRow, number)
            if row is None or not scope.allows(SiteId(row.site)):
                raise NotFoundError(f"no range {number}", zh=f"没有网段 {number}")
            site, text = row.site, row.ranges
            session.delete(row)
        self._audit.record(actor, "discovery.range-forgotten", site, {"ranges": text[:500]})

    def start_due(self) -> list[int]:
        """Queue what is scanned weekly and due. One that cannot start any more says so in its scan's place: it is
        tried again the next week.
        """
        now, started = self._clock.now_ms(), []
        for view in self.ranges(WHOLE_CITY):
            if view.weekly and (view.scanned_at is None or now - view.scanned_at >= WEEK_MS):
                try:
                    started.append(self._start_range(WHOLE_CITY, view, view.actor, "weekly"))
                except (InputError, NotFoundError) as error:
                    self._note_failure(view, error.message, error.zh)
        return started

    # -- for the core -----------------------------------------------------------------------------------------

    def orders(self, sites: Collection[str]) -> Sequence[ScanOrder]:
        """The open scans of these sites, oldest first, as their collector is told; a credential that was withdrawn
        from a site since is not handed out any more.
        """
        wanted = select(ScanRow).where(ScanRow.state.in_(OPEN)).order_by(ScanRow.id)
        with self._database.session() as session:
            rows = [row for row in session.scalars(wanted) if row.site in sites]
            allowed = {
                site: {name for name, _ in self._grants.names(site)} for site in {row.site for row in rows}
            }
            return [
                ScanOrder(
                    id=row.id,
                    site=SiteId(row.site),
                    ranges=tuple(json.loads(row.ranges)),
                    credentials=tuple(n for n in json.loads(row.credentials) if n in allowed[row.site]),
                    port=row.port,
                    rate=row.rate,
                    created_at=row.created_at,
                )
                for row in rows
            ]

    def hear(self, event: Event) -> None:
        """Take a collector's progress. What is older than what was heard, or of another site's scan, is ignored."""
        at, now = _int(event.get("@timestamp")), self._clock.now_ms()
        with self._database.session() as session:
            row = session.get(ScanRow, _int(event.get("zhishou.scan")))
            if row is None or row.site != event.get("zhishou.site") or row.state == "done":
                return
            if at < row.told_at and event.get("zhishou.state") not in OVER:
                return  # late; an end counts even from a clock that was set back
            row.told_at, row.heard_at = max(at, row.told_at), now
            row.started_at = row.started_at or min(at, now)
            for name in ("done", "found", "packets"):
                setattr(row, name, max(0, _int(event.get(f"zhishou.{name}"))))
            row.total = _int(event.get("zhishou.total")) or row.total
            row.speed = float(event.get("zhishou.speed") or 0.0)
            row.eta = _int(event["zhishou.eta"]) if event.get("zhishou.eta") is not None else None
            if skipped := _skipped(event.get("zhishou.skipped")):
                row.skipped = skipped
            _move(row, event, now)

    def expire(self) -> None:
        """Give up scans that no collector took within a day, or of which nothing was heard for an hour."""
        now = self._clock.now_ms()
        with self._database.session() as session:
            for row in session.scalars(select(ScanRow).where(ScanRow.state.in_(OPEN))):
                if row.state == "queued" and now - row.created_at > UNTAKEN_MS:
                    reason = _reason(
                        "untaken",
                        "no collector took it within a day",
                        "采集器一天内未领取，请检查采集器是否在线",
                    )
                elif row.state == "running" and now - (row.heard_at or row.created_at) > SILENT_MS:
                    reason = _reason(
                        "silent",
                        "the collector fell silent for an hour",
                        "采集器已一小时没有消息，请检查采集器是否在线",
                    )
                else:
                    continue
                row.state, row.finished_at, row.eta, row.reason = "failed", now, None, reason

    def _check(
        self,
        scope: Scope,
        site: str,
        ranges: Sequence[str],
        credentials: Sequence[str],
        port: int,
        rate: float,
    ) -> tuple[tuple[str, ...], int]:
        self._directory.site(scope, site)
        total = parse_ranges(ranges).count
        if not 1 <= port <= 65535:
            raise InputError("the port must be 1 to 65535", zh="端口须为 1 至 65535")
        if not 1 <= rate <= MAX_RATE:
            raise InputError(
                f"the rate must be 1 to {MAX_RATE:g} packets a second",
                zh=f"速率须为每秒 1 至 {MAX_RATE:g} 包",
            )
        return self._grants.check(site, tuple(credentials)), total

    def _start_range(self, scope: Scope, view: RangeView, actor: str, origin: str) -> int:
        number = self.start(
            scope, view.site, view.ranges, actor, credentials=view.credentials, port=view.port,
            rate=view.rate, origin=origin,
        )  # fmt: skip
        self.mark_scanned(view.id)
        return number

    def mark_scanned(self, number: int) -> None:
        """A known range is being scanned now."""
        with self._database.session() as session:
            row = session.get(RangeRow, number)
            if row is not None:
                row.scanned_at = self._clock.now_ms()

    def _note_failure(self, view: RangeView, message: str, zh: str) -> None:
        now = self._clock.now_ms()
        with self._database.session() as session:
            session.add(
                ScanRow(
                    site=view.site,
                    ranges=json.dumps(view.ranges),
                    credentials=json.dumps(view.credentials),
                    port=view.port,
                    rate=view.rate,
                    state="failed",
                    actor=view.actor,
                    origin="weekly",
                    created_at=now,
                    finished_at=now,
                    reason=_reason("input", message, zh),
                )
            )
        self.mark_scanned(view.id)


def find_scan(session: Session, number: int, site: str) -> ScanRow | None:
    """The scan a find belongs to; None when it is another site's or unknown."""
    row = session.get(ScanRow, number)
    return row if row is not None and row.site == site else None


def _move(row: ScanRow, event: Event, now: int) -> None:
    """Into the state the collector tells; a scan that is over stays over."""
    told = str(event.get("zhishou.state") or "")
    if row.state not in OPEN:
        return
    if told == "running":
        row.state = "running"
    elif told in OVER:
        row.state, row.finished_at, row.eta = told, now, None
        reason = (str(event.get(f"zhishou.reason_{key}") or "")[:500] for key in ("code", "message", "zh"))
        row.reason = _reason(*reason) if told == "failed" else "{}"


def _reason(code: str, message: str, zh: str) -> str:
    return json.dumps({"code": code, "message": message, "zh": zh}, ensure_ascii=False)


def _skipped(text: object) -> str:
    try:
        found = json.loads(str(text or "[]"))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, list):
        return ""
    keys = ("address", "device", "reason")
    rows = [{k: str(item.get(k, ""))[:200] for k in keys} for item in found if isinstance(item, Mapping)]
    return json.dumps(rows[:_MAX_SKIPPED], ensure_ascii=False) if rows else ""


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _scan(row: ScanRow) -> ScanView:
    return ScanView(
        row.id, row.site, tuple(json.loads(row.ranges)), tuple(json.loads(row.credentials)), row.port, row.rate,
        row.state, row.done, row.total, row.found, row.packets, row.speed, row.eta, row.actor, row.origin,
        row.created_at, row.started_at, row.finished_at, row.heard_at, tuple(json.loads(row.skipped)),
        json.loads(row.reason),
    )  # fmt: skip


def _range(row: RangeRow) -> RangeView:
    return RangeView(
        row.id, row.site, tuple(json.loads(row.ranges)), tuple(json.loads(row.credentials)), row.port, row.rate,
        row.weekly, row.actor, row.created_at, row.scanned_at,
    )  # fmt: skip

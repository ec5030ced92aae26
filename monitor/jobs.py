"""Long work as rows: queued by a page, run by the core, with progress and cancellation that survive a reload.

Handlers register under the entry-point group `zhishou.jobs`. A job that was running when the core died is
marked failed at the next start, with that reason: whether half of it may be repeated is for a person to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select, update

from monitor.clock import Clock
from monitor.database import Database
from monitor.errors import NotFoundError, ZhishouError
from monitor.model import Scope, SiteId
from monitor.tables import JobRow

if TYPE_CHECKING:
    from monitor.service import Runtime

log = structlog.get_logger(__name__)
Result = Mapping[str, str | int | float | None]
OPEN = ("queued", "running")


@dataclass(frozen=True, slots=True)
class JobView:
    """One job. status: queued, running, done, failed or cancelled; `error` is Chinese."""

    id: int
    kind: str
    site: str
    actor: str
    status: str
    done: int
    total: int
    note: str
    result: Mapping[str, str | int | float | None]
    error: str
    created_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler gets. `progress(done, total, note)` returns False once somebody cancelled."""

    runtime: Runtime
    actor: str
    scope: Scope
    progress: Callable[[int, int, str], bool]


Handler = Callable[[JobContext, Mapping[str, str]], Result]


class Jobs:
    """The queue."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def submit(self, kind: str, params: Mapping[str, str], actor: str, site: str = "") -> int:
        """Queue; returns the job id. The same work for the same site waits only once."""
        body = json.dumps(dict(params), sort_keys=True)
        with self._database.session() as session:
            same = select(JobRow.id).where(
                JobRow.kind == kind, JobRow.params == body, JobRow.status.in_(OPEN)
            )
            waiting = session.scalars(same).first()
            if waiting is not None:
                return waiting
            row = JobRow(kind=kind, site=site, actor=actor, params=body, created_at=self._clock.now_ms())
            session.add(row)
            session.flush()
            return row.id

    def get(self, scope: Scope, job_id: int) -> JobView:
        """One job; NotFoundError outside the scope."""
        with self._database.session() as session:
            row = session.get(JobRow, job_id)
        if row is None or not scope.allows(SiteId(row.site) if row.site else None):
            raise NotFoundError(f"no job {job_id}", zh=f"没有任务 {job_id}")
        return _view(row)

    def list(self, scope: Scope, kind: str = "", limit: int = 50) -> list[JobView]:
        """Newest first."""
        wanted = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if kind:
            wanted = wanted.where(JobRow.kind == kind)
        if scope.sites is not None:
            wanted = wanted.where(JobRow.site.in_(scope.sites))
        with self._database.session() as session:
            return [_view(row) for row in session.scalars(wanted)]

    def cancel(self, scope: Scope, job_id: int, actor: str) -> None:
        """Ask a job to stop; a queued one ends at once."""
        self.get(scope, job_id)
        with self._database.session() as session:
            row = session.get_one(JobRow, job_id)
            row.cancel, row.note = True, f"{actor} 取消"
            if row.status == "queued":
                row.status, row.finished_at = "cancelled", self._clock.now_ms()

    def claim(self) -> tuple[int, str, Mapping[str, str], str, str] | None:
        """Take the oldest queued job: (id, kind, params, actor, site)."""
        with self._database.session() as session:
            row = session.scalars(
                select(JobRow).where(JobRow.status == "queued").order_by(JobRow.id).limit(1)
            ).first()
            if row is None:
                return None
            taken = session.execute(
                update(JobRow).where(JobRow.id == row.id, JobRow.status == "queued").values(status="running")
            )
            if getattr(taken, "rowcount", 0) != 1:
                return None
            return row.id, row.kind, json.loads(row.params), row.actor, row.site

    def progress(self, job_id: int, done: int, total: int, note: str) -> bool:
        """Write progress; False when the job was cancelled."""
        with self._database.session() as session:
            row = session.get_one(JobRow, job_id)
            if not row.cancel:
                row.done, row.total, row.note = done, total, note
            return not row.cancel

    def finish(self, job_id: int, *, result: Result | None = None, error: str = "") -> None:
        """End a job."""
        with self._database.session() as session:
            row = session.get_one(JobRow, job_id)
            row.finished_at = self._clock.now_ms()
            row.status = "cancelled" if row.cancel else "failed" if error else "done"
            row.result, row.error = json.dumps(dict(result or {}), ensure_ascii=False), error

    def fail_orphans(self) -> int:
        """Mark jobs that a dead core left running; returns how many."""
        with self._database.session() as session:
            orphans = session.scalars(select(JobRow).where(JobRow.status == "running")).all()
            for row in orphans:
                row.status, row.finished_at = "failed", self._clock.now_ms()
                row.error = "核心进程中断，任务未完成，可重新发起"
            return len(orphans)


class JobRunner:
    """Runs queued jobs of the core on two threads; `tick` is called by the schedule each second."""

    def __init__(self, jobs: Jobs, runtime: Runtime) -> None:
        self._jobs = jobs
        self._runtime = runtime
        self._pool = ThreadPoolExecutor(2, "job")
        self._handlers = {entry.name: entry for entry in entry_points(group="zhishou.jobs")}

    def tick(self) -> None:
        """Start whatever waits."""
        while (claimed := self._jobs.claim()) is not None:
            self._pool.submit(self._run, *claimed)

    def stop(self) -> None:
        """Wait for running jobs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job_id: int, kind: str, params: Mapping[str, str], actor: str, site: str) -> None:
        scope = Scope(frozenset({SiteId(site)})) if site else Scope(None)
        context = JobContext(
            self._runtime,
            actor,
            scope,
            lambda done, total, note: self._jobs.progress(job_id, done, total, note),
        )
        try:
            handler: Handler = self._handlers[kind].load()
            self._jobs.finish(job_id, result=handler(context, params))
        except ZhishouError as error:
            self._jobs.finish(job_id, error=error.zh)
        except Exception as error:
            log.exception("a job failed", job=job_id, kind=kind)
            self._jobs.finish(job_id, error=f"内部错误 {type(error).__name__}，详见核心日志")


def _view(row: JobRow) -> JobView:
    return JobView(
        row.id, row.kind, row.site, row.actor, row.status, row.done, row.total, row.note,
        json.loads(row.result), row.error, row.created_at, row.finished_at,
    )  # fmt: skip

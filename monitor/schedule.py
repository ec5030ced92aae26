"""All periodic work of a process, on APScheduler.

A job that is late runs once, not several times (coalesced); one that is still running is not started again; one
that raises is logged and runs again at its next time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

log = structlog.get_logger(__name__)


class Schedule:
    """Named periodic jobs on a small thread pool."""

    def __init__(self, threads: int = 12) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR)

    def every(
        self, name: str, seconds: float, work: Callable[[], object], *, first_in: float | None = None
    ) -> None:
        """Run every so many seconds, first after `first_in` seconds (default: one interval)."""
        first = datetime.now(UTC) + timedelta(seconds=seconds if first_in is None else first_in)
        self._scheduler.add_job(
            work, "interval", seconds=seconds, id=name, name=name, next_run_time=first, replace_existing=True
        )

    def daily(self, name: str, hour: int, minute: int, work: Callable[[], object]) -> None:
        """Run once a day at a local wall-clock time."""
        local = datetime.now().astimezone().tzinfo
        self._scheduler.add_job(
            work, "cron", hour=hour, minute=minute, id=name, name=name, replace_existing=True, timezone=local
        )

    def remove(self, name: str) -> None:
        """Forget a job; nothing happens when there is none."""
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)

    def names(self) -> list[str]:
        """The names of all jobs, sorted."""
        return sorted(job.name for job in self._scheduler.get_jobs())

    def start(self) -> None:
        """Begin running jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop, waiting for jobs that run."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)


def _report(event: JobExecutionEvent) -> None:
    log.error("a scheduled job failed", job=event.job_id, error=repr(event.exception), trace=event.traceback)

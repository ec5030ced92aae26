"""Long work: queue, progress, cancellation, and what a crash leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from monitor.clock import ManualClock
from monitor.database import Database
from monitor.errors import InputError, NotFoundError
from monitor.jobs import JobContext, JobRunner, Jobs, Result
from monitor.model import WHOLE_CITY, Scope, SiteId
from monitor.service import Runtime


class Entry:
    """Stands for an entry point."""

    def __init__(self, handler: object) -> None:
        self._handler = handler

    def load(self) -> object:
        return self._handler


def run(runtime: Runtime, handler: object) -> Jobs:
    jobs = Jobs(runtime.database, runtime.clock)
    runner = JobRunner(jobs, runtime)
    runner._handlers = {"work": Entry(handler)}  # type: ignore[dict-item]
    runner.tick()
    runner.stop()
    return jobs


@pytest.fixture
def jobs(database: Database, clock: ManualClock) -> Jobs:
    return Jobs(database, clock)


def test_a_job_runs_with_progress_and_a_result(runtime: Runtime, jobs: Jobs) -> None:
    def handler(context: JobContext, params: Mapping[str, str]) -> Result:
        assert context.progress(1, 2, "一半")
        assert context.scope == Scope(frozenset({SiteId("H001")}))
        return {"file": params["name"]}

    job = jobs.submit("work", {"name": "x.zip"}, "lin", "H001")
    view = run(runtime, handler).get(WHOLE_CITY, job)
    assert (view.status, view.done, view.total, view.note) == ("done", 1, 2, "一半")
    assert view.result == {"file": "x.zip"}


def test_a_known_error_is_told_in_chinese(runtime: Runtime, jobs: Jobs) -> None:
    def handler(context: JobContext, params: Mapping[str, str]) -> Result:
        raise InputError("no such site", zh="没有这个机构")

    job = jobs.submit("work", {}, "lin")
    view = run(runtime, handler).get(WHOLE_CITY, job)
    assert (view.status, view.error) == ("failed", "没有这个机构")


def test_a_bug_in_a_handler_fails_the_job_only(runtime: Runtime, jobs: Jobs) -> None:
    def handler(context: JobContext, params: Mapping[str, str]) -> Result:
        raise ZeroDivisionError

    job = jobs.submit("work", {}, "lin")
    view = run(runtime, handler).get(WHOLE_CITY, job)
    assert view.status == "failed"
    assert "ZeroDivisionError" in view.error


def test_a_cancelled_job_is_told_and_ends_cancelled(runtime: Runtime, jobs: Jobs) -> None:
    seen: list[bool] = []

    def handler(context: JobContext, params: Mapping[str, str]) -> Result:
        jobs.cancel(WHOLE_CITY, job, "lin")
        seen.append(context.progress(1, 9, ""))
        return {}

    job = jobs.submit("work", {}, "lin")
    assert run(runtime, handler).get(WHOLE_CITY, job).status == "cancelled"
    assert seen == [False]


def test_the_same_work_waits_only_once(jobs: Jobs) -> None:
    assert jobs.submit("work", {"site": "H001"}, "lin") == jobs.submit("work", {"site": "H001"}, "zhou")
    assert jobs.submit("work", {"site": "H002"}, "lin") != jobs.submit("work", {"site": "H001"}, "lin")


def test_jobs_of_a_dead_core_are_marked_failed(jobs: Jobs) -> None:
    job = jobs.submit("work", {}, "lin")
    assert jobs.claim() is not None
    assert jobs.claim() is None
    assert jobs.fail_orphans() == 1
    assert jobs.get(WHOLE_CITY, job).status == "failed"


def test_a_job_of_another_site_is_not_found(jobs: Jobs) -> None:
    job = jobs.submit("work", {}, "lin", "H001")
    with pytest.raises(NotFoundError):
        jobs.get(Scope(frozenset({SiteId("H002")})), job)
    assert jobs.list(Scope(frozenset({SiteId("H002")}))) == []
    assert len(jobs.list(Scope(frozenset({SiteId("H001")})))) == 1

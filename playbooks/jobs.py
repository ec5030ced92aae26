"""The job `playbook-run`: params {"engagement": id}; cancelling it stops the run within 2 s."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.errors import InputError
from monitor.jobs import JobContext
from playbooks.office import SqlOffice


def run(context: JobContext, params: Mapping[str, str]) -> Mapping[str, str | int | float | None]:
    """Run an engagement in the core; the result names the run and its coverage."""
    engagement = params.get("engagement", "")
    if not engagement:
        raise InputError("which engagement?", zh="缺少授权单编号", hint="params need `engagement`")
    house = context.runtime
    office = SqlOffice(house.database, house.directory, house.audit, house.clock, house.settings.folder)
    run_id = office.run(context.scope, engagement, context.actor, context.progress)
    view = next(view for view in office.runs(context.scope, engagement) if view.id == run_id)
    counts = {str(outcome): number for outcome, number in view.coverage.items()}
    return {"run": run_id, "status": view.status, "reason": view.reason, "packets": view.packets, **counts}

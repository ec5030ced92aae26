"""`zhishou playbook`: lint files, plan, run and stop engagements. Exit code 1: findings or failed tests."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from monitor.clock import SystemClock
from monitor.directory import Directory
from monitor.errors import InputError, ZhishouError
from monitor.model import WHOLE_CITY
from monitor.settings import load_settings
from monitor.state import open_audit, open_database
from playbooks.checking import failed_tests
from playbooks.interface import Outcome, Plan
from playbooks.ledger import pull_kill_switch, stop_file_of
from playbooks.loader import load_check, load_engagement, load_suite
from playbooks.office import SqlOffice
from playbooks.steps.interface import Step, installed_steps
from playbooks.yamltree import parse

_data = click.option("--data", type=click.Path(file_okay=False), default=None, help="data folder")
_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group()
def playbook() -> None:
    """Checks inside an authorised scope: lint, plan, run, stop."""


@playbook.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@_json
def lint(files: tuple[Path, ...], as_json: bool) -> None:
    """Read checks, suites and engagements strictly and run the checks' own tests."""
    steps = installed_steps()
    problems: dict[str, list[str]] = {}
    for path in files:
        try:
            problems[str(path)] = _lint(path, steps)
        except ZhishouError as error:
            problems[str(path)] = [str(error)]
    if as_json:
        click.echo(json.dumps(problems, ensure_ascii=False))
    else:
        for name, found in problems.items():
            click.echo("\n".join(found) if found else f"{name}: ok")
    if any(problems.values()):
        raise SystemExit(1)


def _lint(path: Path, steps: Mapping[str, Step]) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", where=str(path)) from error
    kinds = parse(text, str(path)).entries()
    if "suite" in kinds and "checks" in kinds:
        load_suite(text, str(path))
        return []
    if "engagement" in kinds:
        load_engagement(text, str(path))
        return []
    return [f"{path}:{line}: {problem}" for line, problem in failed_tests(load_check(text, str(path), steps))]


@playbook.command()
@click.argument("engagement")
@_data
@_json
def plan(engagement: str, data: str | None, as_json: bool) -> None:
    """Exact targets, checks, packets and duration, resolved now; sends nothing."""
    with _office(data) as office:
        found = office.plan(WHOLE_CITY, _identifier(office, engagement))
    click.echo(json.dumps(asdict(found), ensure_ascii=False) if as_json else _plan_text(found))


def _plan_text(plan: Plan) -> str:
    lines = [f"digest {plan.digest}"]
    lines += [
        f"  {r.check:32} {r.targets:5} targets {r.packets:8} packets {r.seconds:8.1f} s" for r in plan.rows
    ]
    lines += [f"  target   {device} {address}" for device, address in plan.targets]
    lines += [f"  excluded {subject}: {reason}" for subject, reason in plan.excluded]
    lines.append(f"{plan.packets} of {plan.packet_budget} packets, about {plan.seconds:.0f} s")
    return "\n".join(lines)


@playbook.command()
@click.argument("engagement")
@click.option("--actor", default=None, help="who runs it; default: the login name")
@_data
@_json
def run(engagement: str, actor: str | None, data: str | None, as_json: bool) -> None:
    """Run an approved engagement inside its window."""

    def progress(done: int, total: int, _note: str) -> bool:
        click.echo(f"{done}/{total}", err=True)
        return True

    with _office(data) as office:
        run_id = office.run(WHOLE_CITY, engagement, actor or getpass.getuser(), progress)
        view = next(v for v in office.runs(WHOLE_CITY, engagement) if v.id == run_id)
    if as_json:
        click.echo(json.dumps(asdict(view), ensure_ascii=False))
    else:
        coverage = ", ".join(f"{outcome} {number}" for outcome, number in view.coverage.items())
        click.echo(f"run {view.id} {view.status} {view.reason}\n{coverage}; {view.packets} packets")
    if view.status != "done" or view.coverage[Outcome.FINDING]:
        raise SystemExit(1)


@playbook.command()
@click.argument("engagement", required=False)
@click.option("--all", "everything", is_flag=True, help="the kill switch: every probe of every process")
@click.option("--release", is_flag=True, help="take the kill switch back; stopped runs stay stopped")
@click.option("--reason", default="command line", show_default=True)
@_data
def stop(engagement: str | None, everything: bool, release: bool, reason: str, data: str | None) -> None:
    """Stop probing within 2 seconds."""
    if sum((bool(engagement), everything, release)) != 1:
        raise click.UsageError("give an ENGAGEMENT, --all or --release")
    actor = getpass.getuser()
    if everything:  # first, and whatever state the database is in
        pull_kill_switch(stop_file_of(load_settings(flags={"data": data}).folder), f"{actor}: {reason}")
    with _office(data) as office:
        if everything:
            office.stop_all(actor, reason)
        elif release:
            office.release_stop(actor, reason)
        else:
            office.stop(WHOLE_CITY, str(engagement), actor, reason)
    click.echo("released" if release else "stopped")


def _identifier(office: SqlOffice, engagement: str) -> str:
    """The id itself, or the id inside a file that holds the engagement."""
    path = Path(engagement)
    return load_engagement(path.read_text("utf-8"), str(path)).id if path.is_file() else engagement


@contextmanager
def _office(data: str | None) -> Iterator[SqlOffice]:
    settings = load_settings(flags={"data": data})
    if not settings.folder.is_dir():
        raise InputError("no such data folder", where=str(settings.folder), hint="give --data DIR")
    database = open_database(settings)
    clock = SystemClock()
    try:
        audit = open_audit(settings, database, clock)
        yield SqlOffice(database, Directory(database, clock), audit, clock, settings.folder)
    finally:
        database.close()

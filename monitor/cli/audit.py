"""`zhishou audit verify`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from monitor.cli.context import data_option, opened


@click.group()
def audit() -> None:
    """The tamper-evident audit log."""


@audit.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a sentence.")
def verify(data: str | None, as_json: bool) -> None:
    """Walk the whole chain; exit code 1 when it does not hold."""
    with opened(data) as state:
        report = state.audit.verify()
    if as_json:
        click.echo(json.dumps(asdict(report)))
    elif report.ok:
        click.echo(f"ok: {report.entries} entries, chain unbroken")
    else:
        click.echo(
            f"BROKEN at entry {report.first_bad}: {report.reason}; {report.entries} entries before it hold"
        )
    sys.exit(0 if report.ok else 1)

"""`zhishou inventory validate|plan|apply`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from monitor.cli.context import data_option, opened
from monitor.inventory.file import load_inventory
from monitor.inventory.plan import Change, apply, changes

SIGNS = {"add": "+", "change": "~", "remove": "-"}


@click.group()
def inventory() -> None:
    """Regions, sites, devices and services as a YAML file."""


@inventory.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path))
def validate(data: str | None, file: Path) -> None:
    """Check a file; every error is printed with file:line."""
    with opened(data) as state:
        loaded = load_inventory(file, frozenset(name for name, _ in state.credentials.names())).inventory
    click.echo(
        f"ok: {len(loaded.sites)} sites, {len(loaded.devices)} devices, {len(loaded.services)} services"
    )


@inventory.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def plan(data: str | None, file: Path, as_json: bool) -> None:
    """Show what applying a file would change."""
    with opened(data) as state:
        loaded = load_inventory(file, frozenset(name for name, _ in state.credentials.names()))
        _print(changes(state.directory.inventory(), loaded.inventory), as_json=as_json)


@inventory.command("apply")
@data_option
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def apply_file(data: str | None, file: Path, as_json: bool) -> None:
    """Make a file the registered inventory, in one transaction."""
    with opened(data) as state:
        loaded = load_inventory(file, frozenset(name for name, _ in state.credentials.names()))
        made = apply(loaded, state.directory, state.credentials, state.audit, "cli")
    _print(made, as_json=as_json)


def _print(found: list[Change], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(change) for change in found], ensure_ascii=False))
        return
    for change in found:
        what = f" ({', '.join(change.fields)})" if change.fields else ""
        click.echo(f"{SIGNS[change.action]} {change.kind} {change.id}{what}")
    click.echo(f"{len(found)} changes" if found else "no changes")

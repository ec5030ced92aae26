"""`zhishou config show`."""

from __future__ import annotations

import json
from dataclasses import fields

import click

from monitor.settings import Settings, load_settings


@click.group()
def config() -> None:
    """Settings: file < environment (ZHISHOU_*) < flags."""


@config.command()
@click.option("--data", metavar="DIR", help="Data folder.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def show(data: str | None, as_json: bool) -> None:
    """Print every setting in force; secrets are hidden."""
    shown = load_settings(flags={"data": data}).public()
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    docs = {item.name: item.metadata["doc"] for item in fields(Settings)}
    for name, value in shown.items():
        click.echo(f"{name} = {value!r:<28} # {docs[name]}")

"""`zhishou user` and `zhishou token`."""

from __future__ import annotations

import json

import click

from monitor.cli.context import data_option, opened
from monitor.identity.roles import Role
from monitor.identity.users import random_password


@click.group()
def user() -> None:
    """Accounts of the console."""


@user.command("add")
@data_option
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--display", default="", help="Name shown to people.")
@click.option("--site", "sites", multiple=True, help="A site this account is limited to; may repeat.")
def add(data: str | None, name: str, role: str, display: str, sites: tuple[str, ...]) -> None:
    """Create an account and print its one-time password."""
    password = random_password(name)
    with opened(data) as state:
        state.users.create(name, Role(role), password, display=display, sites=sites, actor="cli")
    click.echo(f"account {name}   one-time password: {password}")


@user.command("list")
@data_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def list_users(data: str | None, as_json: bool) -> None:
    """Every account, without secrets."""
    with opened(data) as state:
        users = state.users.list()
    if as_json:
        rows = [
            {
                "name": u.name,
                "role": u.role.value,
                "sites": list(u.sites),
                "otp": u.has_otp,
                "disabled": u.disabled,
            }
            for u in users
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for u in users:
        click.echo(
            f"{u.name:<20} {u.role.value:<18} {'disabled' if u.disabled else 'active':<9} {','.join(u.sites)}"
        )


@user.command()
@data_option
@click.argument("name")
def disable(data: str | None, name: str) -> None:
    """Switch an account off; its sessions end at their next request."""
    with opened(data) as state:
        state.users.set_disabled(name, True, actor="cli")
    click.echo(f"account {name} is disabled")


@user.command("reset-password")
@data_option
@click.argument("name")
def reset_password(data: str | None, name: str) -> None:
    """Set and print a new one-time password; also ends a lock-out."""
    password = random_password(name)
    with opened(data) as state:
        state.users.set_password(name, password, actor="cli", must_change=True)
    click.echo(f"account {name}   one-time password: {password}")


@click.group()
def token() -> None:
    """Tokens for machine clients."""


@token.command("create")
@data_option
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "ingest"]), required=True
)
@click.option("--collector", metavar="ID", help="Bind the scope ingest to this collector and its sites.")
def create(data: str | None, name: str, scopes: tuple[str, ...], collector: str | None) -> None:
    """Create a token; it is shown this once."""
    if collector:
        scopes = tuple(f"ingest:{collector}" if scope == "ingest" else scope for scope in scopes)
    with opened(data) as state:
        text = state.tokens.create(name, scopes)
        state.audit.record("cli", "token.create", name, {"scopes": ",".join(scopes)})
    click.echo(text)


@token.command("revoke")
@data_option
@click.argument("name")
def revoke(data: str | None, name: str) -> None:
    """Switch a token off for good."""
    with opened(data) as state:
        state.tokens.revoke(name)
        state.audit.record("cli", "token.revoke", name)
    click.echo(f"token {name} is revoked")

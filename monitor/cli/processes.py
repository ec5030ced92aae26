"""`zhishou up` and `zhishou serve`: prepare the data folder, then supervise the processes."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import fields, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

from monitor import core
from monitor.cli.context import State, opened
from monitor.errors import InputError
from monitor.identity.roles import Role
from monitor.identity.users import random_password
from monitor.inventory.file import load_inventory
from monitor.inventory.plan import apply
from monitor.settings import Settings, load_settings
from monitor.supervise import Child, Supervisor
from monitor.telemetry import configure_logging

COLLECTOR = "core"


@click.command()
@click.option("--data", metavar="DIR", help="Data folder [default: ./data].")
@click.option("--listen", metavar="HOST:PORT", help="Address of the console [default: 127.0.0.1:8080].")
@click.option("--demo", is_flag=True, help="Add the simulated city.")
@click.option("--inventory", metavar="FILE", help="Apply this inventory before starting.")
@click.option(
    "--insecure-local-api", is_flag=True, default=None, help="No token for loopback machine clients."
)
def up(
    data: str | None, listen: str | None, demo: bool, inventory: str | None, insecure_local_api: bool | None
) -> None:
    """Core, console and a collector on one machine, with embedded stores."""
    settings = _settings(data, listen, insecure_local_api)
    prepared = _prepare(settings, inventory, demo=demo)
    children = [*_serve_children(settings), _collector(settings, prepared)]
    if demo:
        children.append(Child("demo", [sys.executable, "-c", _call(_entry("zhishou.demo", "responder"))]))
    # A person watches this terminal: what each process logs goes to its own file.
    logs = settings.folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    _greet(settings)
    click.echo(f"logs: {logs.resolve()}")
    Supervisor([replace(child, log=str(logs / f"{child.name}.log")) for child in children]).run()


@click.command()
@click.option("--data", metavar="DIR", help="Data folder [default: ./data].")
@click.option("--listen", metavar="HOST:PORT", help="Address of the console [default: 127.0.0.1:8080].")
@click.option("--inventory", metavar="FILE", help="Apply this inventory before starting.")
@click.option(
    "--insecure-local-api", is_flag=True, default=None, help="No token for loopback machine clients."
)
@click.option("--part", type=click.Choice(["all", "core"]), default="all", hidden=True)
def serve(
    data: str | None, listen: str | None, inventory: str | None, insecure_local_api: bool | None, part: str
) -> None:
    """The core and the console; collectors connect from elsewhere."""
    settings = _settings(data, listen, insecure_local_api)
    if part == "core":
        configure_logging(settings.log_level, "core")
        core.run(settings)
        return
    _prepare(settings, inventory, demo=False)
    _greet(settings)
    Supervisor(_serve_children(settings)).run()


def _greet(settings: Settings) -> None:
    scheme = "https" if settings.tls_certificate else "http"
    click.echo(f"console: {scheme}://{settings.listen}   data: {settings.folder.resolve()}   stop: Ctrl+C")


def _settings(data: str | None, listen: str | None, insecure: bool | None) -> Settings:
    settings = load_settings(flags={"data": data, "listen": listen, "insecure_local_api": insecure})
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"{settings.listen!r} is not HOST:PORT", where="--listen")
    if settings.insecure_local_api and not _is_loopback(host):
        raise InputError(
            "--insecure-local-api needs a loopback listener",
            where=settings.listen,
            hint="listen on 127.0.0.1",
        )
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _prepare(settings: Settings, inventory: str | None, *, demo: bool) -> str:
    """Schema, first accounts, inventory and the local collector's token; returns the token file."""
    configure_logging(settings.log_level, "supervisor")
    with opened(settings.data) as state:
        _first_accounts(state, demo=demo)
        if inventory:
            names = frozenset(name for name, _ in state.credentials.names())
            loaded = load_inventory(Path(inventory), names)
            apply(loaded, state.directory, state.credentials, state.audit, "system")
        if demo:
            build = _entry("zhishou.demo", "inventory").load()
            apply(build(), state.directory, state.credentials, state.audit, "system")
        return _collector_token(state)


def _first_accounts(state: State, *, demo: bool) -> None:
    if state.users.list():
        click.echo(
            "accounts are those of the first start; a forgotten password: zhishou user reset-password NAME"
        )
        return
    password = random_password("admin")
    state.users.create("admin", Role.SYSTEM_ADMIN, password, display="系统管理员")
    click.echo(f"first administrator: admin   one-time password: {password}")
    if not demo:
        return
    wanted = [
        ("duty", Role.DUTY_OPERATOR, "林嘉禾", ()),
        ("security", Role.SECURITY_OFFICER, "周牧", ()),
        ("secadmin", Role.SECURITY_ADMIN, "安全管理员", ()),
        ("auditor", Role.AUDIT_ADMIN, "审计管理员", ()),
        ("hospital", Role.SITE_STAFF, "顾以宁", ("H002",)),
    ]
    for name, role, display, sites in wanted:
        password = random_password(name)
        state.users.create(name, role, password, display=display, sites=sites, must_change=False)
        click.echo(f"demo account: {name:<9} password: {password}   ({role.value})")


def _collector_token(state: State) -> str:
    path = state.settings.folder / "run" / "collector.token"
    if path.exists() and state.tokens.check(path.read_text("ascii").strip()) is not None:
        return str(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 1 + sum(token.name.startswith("collector-local") for token in state.tokens.list())
    text = state.tokens.create(f"collector-local-{number}", [f"ingest:{COLLECTOR}"])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    return str(path)


def _serve_children(settings: Settings) -> list[Child]:
    environ = _environment(settings)
    zhishou = [sys.executable, "-m", "monitor.cli"]
    web = _entry("zhishou.web", "console").value
    gunicorn = [
        sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", "384",
        "--bind", settings.listen, "--timeout", "120", "--graceful-timeout", "5", "--keep-alive", "75",
        "--worker-tmp-dir", "/dev/shm" if Path("/dev/shm").is_dir() else str(settings.folder / "run"),  # noqa: S108
        "--limit-request-line", "8190", "--log-level", "warning", "--no-control-socket", f"{web}()",
    ]  # fmt: skip
    if settings.tls_certificate:
        gunicorn[-1:-1] = ["--certfile", settings.tls_certificate, "--keyfile", settings.tls_key]
    return [Child("core", [*zhishou, "serve", "--part", "core"], environ), Child("web", gunicorn, environ)]


def _collector(settings: Settings, token_file: str) -> Child:
    scheme = "https" if settings.tls_certificate else "http"
    argv = [
        sys.executable, "-m", "monitor.cli", "collect", "--core", f"{scheme}://{settings.listen}", "--id", COLLECTOR,
        "--token-file", token_file, "--data", str(settings.folder / "collector"),
    ]  # fmt: skip
    # It has a data folder of its own: what our settings file says about receivers must be handed over.
    environ = {key: value for key, value in _environment(settings).items() if key.startswith("ZHISHOU_TRAP_")}
    return Child("collector", argv, environ, after=str(settings.socket_path))


def _environment(settings: Settings) -> dict[str, str]:
    """The settings for child processes; environment variables are not visible to other users."""
    default = Settings()
    shown = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return {
        f"ZHISHOU_{k.upper()}": str(v) for k, v in shown.items() if v != getattr(default, k) or k == "data"
    }


def _entry(group: str, name: str) -> EntryPoint:
    for entry in entry_points(group=group):
        if entry.name == name:
            return entry
    raise InputError(f"no installed package offers {group}:{name}", hint="reinstall zhishou")


def _call(entry: EntryPoint) -> str:
    return f"from {entry.module} import {entry.attr}; {entry.attr}()"

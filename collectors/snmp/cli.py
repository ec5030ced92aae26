"""`zhishou poll`: one poll of one device over SNMP, for people and for scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from collectors.interface import Credential, PollResult
from collectors.profiles.library import load_library
from collectors.profiles.loader import load_profiles
from collectors.profiles.profile import Profile
from collectors.profiles.read import Report
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.errors import InputError, UnreachableError
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess

Entry = Mapping[str, object]

_DEVICE_KEYS = ("vendor", "os", "hardware", "version", "serial", "sys_name", "sys_object_id", "profile")
_PORT = 161


@click.command()
@click.argument("target", metavar="HOST[:PORT]")
@click.option("--community", help="v2c (or v1) community; default: $ZHISHOU_COMMUNITY, then public")
@click.option("--v1", is_flag=True, help="speak SNMPv1 instead of v2c")
@click.option("--v3-user", help="SNMPv3 user name")
@click.option("--v3-auth", metavar="SHA:PASS", help="protocol (SHA, SHA224 ... SHA512) and password")
@click.option("--v3-priv", metavar="AES:PASS", help="protocol (AES, AES192, AES256) and password")
@click.option("--v3-legacy", metavar="WORDS", default="", help="permit all the same: MD5, DES, noAuthNoPriv")
@click.option("--profile", default="auto", show_default=True, help="device profile, or auto")
@click.option("--profiles", envvar="ZHISHOU_PROFILES", metavar="DIR", help="folder of further profiles")
@click.option("--timeout", default=2.0, show_default=True, help="seconds for one attempt")
@click.option("--retries", default=2, show_default=True, help="further attempts after the first")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def poll(
    target: str,
    community: str | None,
    v1: bool,
    v3_user: str | None,
    v3_auth: str | None,
    v3_priv: str | None,
    v3_legacy: str,
    profile: str,
    profiles: str | None,
    timeout: float,
    retries: int,
    as_json: bool,
) -> None:
    """Poll one device once and print what it says. Exits with 3 when it does not answer."""
    host, port = split_target(target)
    known = _profiles(profiles)
    if profile != "auto" and profile not in known:
        raise InputError(
            f"profile {profile} does not exist",
            hint=f"use auto or one of {', '.join(sorted(known))}",
            zh=f"设备画像 {profile} 不存在，可用：auto、{'、'.join(sorted(known))}",
        )
    credential = credential_of(community, v1, v3_user, v3_auth, v3_priv, v3_legacy)
    access = SnmpAccess("command-line", port=port, profile=profile, timeout=timeout, retries=retries)
    device = Device(DeviceId(target), SiteId("-"), target, Kind.NETWORK, host, snmp=access)
    with closing(SnmpPoller(SystemClock(), known)) as poller:
        result = poller.poll(device, credential)
    if as_json:
        click.echo(json.dumps(document(result), ensure_ascii=False, indent=1))
    elif result.up:
        _print(result)
    if not result.up:
        error = result.errors[0]
        raise UnreachableError(error.message, zh=error.zh)


def _profiles(folder: str | None) -> Mapping[str, Profile]:
    """Ours and those of a folder; what is wrong in there is told, the others count."""
    if not folder:
        return load_profiles()
    library = load_library(existing_folder(folder))
    for problem in library.problems:
        click.echo(problem.zh, err=True)
    return library.profiles


def existing_folder(folder: str) -> Path:
    """The folder as a path. Raises InputError when there is none."""
    if not Path(folder).is_dir():
        raise InputError("is not a folder", where=folder, zh=f"{folder}：不是文件夹")
    return Path(folder)


def document(result: PollResult) -> dict[str, object]:
    """The JSON of `zhishou poll --json`: facts that are not known are null."""
    failed: dict[str, str] = {}
    for error in result.errors:
        module, _, message = error.message.partition(": ")
        failed.setdefault(module, f"{error.code}: {message}")
    modules = {
        dict(reading.labels)["module"]: "ok"
        for reading in result.readings
        if reading.name == "snmp_module_up"
    }
    modules = {module: failed.get(module, state) for module, state in modules.items()}
    return {
        "device": {key: result.identity.get(key) for key in _DEVICE_KEYS},
        **(result.detail or Report().detail()),
        "samples": len(result.readings),
        "modules": modules,
        "errors": [{"code": e.code, "message": e.message, "zh": e.zh} for e in result.errors],
        "duration_seconds": round(result.duration_seconds, 4),
    }


def split_target(target: str) -> tuple[str, int]:
    """HOST, HOST:PORT, [IPV6]:PORT or a bare IPv6 address. Raises InputError."""
    host, port = target, ""
    if target.startswith("["):
        host, _, rest = target[1:].partition("]")
        port = rest.removeprefix(":")
    elif target.count(":") == 1:
        host, _, port = target.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise InputError(
            f"{target!r} is not HOST[:PORT]",
            hint="for IPv6 with a port write [address]:port",
            zh=f"{target} 不是合法的 主机[:端口]；IPv6 带端口请写作 [地址]:端口",
        )
    return host, int(port or _PORT)


def credential_of(
    community: str | None,
    v1: bool,
    user: str | None,
    auth: str | None,
    priv: str | None,
    legacy: str = "",
) -> Credential:
    """The credential of the command line's options. Raises InputError when they do not go together."""
    if user is None:
        if auth or priv or legacy:
            raise InputError(
                "--v3-auth, --v3-priv and --v3-legacy need --v3-user",
                zh="--v3-auth、--v3-priv、--v3-legacy 须与 --v3-user 同用",
            )
        community = community or os.environ.get("ZHISHOU_COMMUNITY") or "public"
        return Credential("snmp-v1" if v1 else "snmp-v2c", community=community)
    if community or v1:
        raise InputError(
            "--v3-user excludes --community and --v1", zh="--v3-user 不能与 --community、--v1 同用"
        )
    auth_protocol, auth_password = _protocol("--v3-auth", auth)
    priv_protocol, priv_password = _protocol("--v3-priv", priv)
    return Credential(
        "snmp-v3",
        user=user,
        auth_protocol=auth_protocol,
        auth_password=auth_password,
        priv_protocol=priv_protocol,
        priv_password=priv_password,
        legacy=legacy,
    )


def _protocol(option: str, text: str | None) -> tuple[str, str]:
    if text is None:
        return "", ""
    protocol, found, password = text.partition(":")
    if not found or not protocol or not password:
        raise InputError(f"{option} is PROTOCOL:PASSWORD", zh=f"{option} 的格式是 协议:口令")
    return protocol, password


def _print(result: PollResult) -> None:
    console = Console()
    facts = document(result)
    device = cast(Entry, facts["device"])
    console.print(_table("设备 device", ("", ""), [(key, _cell(value)) for key, value in device.items()]))
    for title, key, columns in _TABLES:
        entries = cast("list[Entry]", facts[key])
        if entries:
            rows = [tuple(_cell(entry[column]) for column in columns) for entry in entries]
            console.print(_table(title, columns, rows))
    modules = cast("Mapping[str, str]", facts["modules"])
    console.print(
        f"{facts['samples']} samples in {facts['duration_seconds']} s; "
        + ", ".join(f"{module} {state}" for module, state in modules.items())
    )
    for error in result.errors:
        console.print(error.zh, style="red")


_TABLES = (
    ("接口 interfaces", "interfaces", ("index", "name", "alias", "admin", "oper", "speed_bps", "mac")),
    ("处理器 processors", "processors", ("name", "utilization_ratio")),
    ("内存 memory", "memory", ("name", "used_bytes", "size_bytes", "utilization_ratio")),
    ("存储 storage", "storage", ("name", "used_bytes", "size_bytes", "utilization_ratio")),
    ("传感器 sensors", "sensors", ("name", "class", "value", "unit", "state")),
    ("部件 components", "components", ("name", "state")),
)


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) and value < 1e6 else str(value)

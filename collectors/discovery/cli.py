"""`zhishou discover`: scan ranges from here and now, or have the core scan the known ranges of a site."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from collectors.discovery.follow import Following, follow
from collectors.discovery.scan import Ending, Scan
from collectors.discovery.scan import Progress as ScanProgress
from collectors.discovery.skips import Skip, forbidden
from collectors.interface import Credential
from collectors.profiles.loader import load_profiles
from collectors.snmp.cli import credential_of
from monitor.clock import SystemClock
from monitor.directory import Directory
from monitor.discovery.interface import DEFAULT_RATE, MAX_RATE, Find, ScanOrder
from monitor.discovery.ranges import parse_ranges, split_ranges
from monitor.discovery.same import grouped
from monitor.errors import InputError, UnreachableError, ZhishouError
from monitor.model import SiteId
from monitor.settings import load_settings
from monitor.state import open_database

_RANGE = re.compile(r"[0-9a-fA-F.:/,;，；、\s~–-]*[.:][0-9a-fA-F.:/,;，；、\s~–-]*")


@click.command()
@click.argument("target", metavar="CIDR|SITE")
@click.option(
    "--community",
    "communities",
    multiple=True,
    help="v2c community; may be given several times [default: $ZHISHOU_COMMUNITY]",
)
@click.option("--v1", is_flag=True, help="try the communities over SNMPv1 too")
@click.option("--v3-user", help="SNMPv3 user name; tried before any community")
@click.option("--v3-auth", metavar="SHA:PASS", help="protocol (SHA, SHA224 ... SHA512) and password")
@click.option("--v3-priv", metavar="AES:PASS", help="protocol (AES, AES192, AES256) and password")
@click.option("--v3-legacy", metavar="WORDS", default="", help="permit all the same: MD5, DES, noAuthNoPriv")
@click.option("--port", default=161, show_default=True, type=click.IntRange(1, 65535), help="UDP port")
@click.option(
    "--rate",
    default=DEFAULT_RATE,
    show_default=True,
    type=click.FloatRange(1, MAX_RATE),
    help="packets a second",
)
@click.option(
    "--timeout",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 30),
    help="seconds for one attempt",
)
@click.option(
    "--retries",
    default=1,
    show_default=True,
    type=click.IntRange(0, 5),
    help="further attempts after the first",
)
@click.option(
    "--data", metavar="DIR", help="Data folder with the inventory [default: $ZHISHOU_DATA or ./data]."
)
@click.option(
    "--url",
    metavar="URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="With a SITE: the console to ask; the token is read from $ZHISHOU_TOKEN.",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def discover(
    target: str,
    communities: tuple[str, ...],
    v1: bool,
    v3_user: str | None,
    v3_auth: str | None,
    v3_priv: str | None,
    v3_legacy: str,
    port: int,
    rate: float,
    timeout: float,
    retries: int,
    data: str | None,
    url: str,
    as_json: bool,
) -> None:
    """Find the devices that answer SNMP in CIDR (also 10.1.2.3-50, or several with commas), or have the core scan the
    known ranges of SITE.

    Only the credentials given are tried. Addresses of devices that must not be probed are left alone. Exits with 0
    when devices were found, 1 when the scan did not end well, 2 on wrong usage, 3 when nothing answered.
    """
    if not _RANGE.fullmatch(target):
        _at_site(target, url, as_json=as_json)
        return
    ranges = tuple(split_ranges(target))
    wanted = parse_ranges(ranges)
    credentials = credentials_of(
        communities, v1=v1, user=v3_user, auth=v3_auth, priv=v3_priv, legacy=v3_legacy
    )
    skipped = [skip for skip in _forbidden(data) if skip.address in wanted]
    order = ScanOrder(
        0, SiteId("-"), ranges, tuple(credentials), port, rate, timeout=timeout, retries=retries
    )
    finds: list[Find] = []
    with _stopped_by_signals() as stop, _bar(show=not as_json) as bar:
        scan = Scan(
            order,
            credentials,
            load_profiles(),
            SystemClock(),
            skip=frozenset(skip.address for skip in skipped),
            stop=stop,
        )
        ending = scan.run(finds.append, bar)
        bar(scan.progress())
    _report(scan.progress(), ending, finds, skipped, as_json=as_json)


def credentials_of(
    communities: Sequence[str],
    *,
    v1: bool,
    user: str | None,
    auth: str | None,
    priv: str | None,
    legacy: str = "",
) -> dict[str, Credential]:
    """The credentials of the command line by name. InputError when there is none: nothing is ever guessed."""
    found: dict[str, Credential] = {}
    if user or auth or priv or legacy:
        found[f"v3:{user}"] = credential_of(None, False, user, auth, priv, legacy)
    from_environment = os.environ.get("ZHISHOU_COMMUNITY", "")
    given = [*communities] or ([from_environment] if from_environment and not user else [])
    for number, community in enumerate(dict.fromkeys(given), 1):
        found[f"v2c:{number}"] = Credential("snmp-v2c", community=community)
        if v1:
            found[f"v1:{number}"] = Credential("snmp-v1", community=community)
    if not found:
        raise InputError(
            "no credential to try",
            hint="give --community or --v3-user; communities are never guessed",
            zh="没有可用凭据，请给出 --community 或 --v3-user；本程序从不猜测团体字",
        )
    return found


def _forbidden(data: str | None) -> list[Skip]:
    """What the inventory of this installation says must not be probed; nothing where there is no installation."""
    settings = load_settings(flags={"data": data})
    if not settings.database_url and not (settings.folder / "state.db").exists():
        return []
    database = open_database(settings)
    try:
        database.migrate()
        return forbidden(Directory(database, SystemClock()).inventory().devices.values())
    finally:
        database.close()


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = [(number, signal.signal(number, end)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _Bar:
    """A progress bar on standard error."""

    def __init__(self, progress: Progress | None, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def __call__(self, at: ScanProgress | Following) -> None:
        if self._progress is not None:
            note = f"{at.found} 台应答 answered"
            self._progress.update(self._task, completed=at.done, total=at.total or None, note=note)


@contextmanager
def _bar(*, show: bool) -> Iterator[_Bar]:
    if not show:
        yield _Bar(None, TaskID(0))
        return
    columns = (
        TextColumn("扫描 scan"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, progress.add_task("", total=None, note=""))


def _report(
    at: ScanProgress, ending: Ending, finds: Sequence[Find], skipped: Sequence[Skip], *, as_json: bool
) -> None:
    groups = grouped(finds)
    if as_json:
        document = {
            "state": ending.state,
            "addresses": at.total,
            "scanned": at.done,
            "packets": at.packets,
            "devices": [{**asdict(g[0]), "duplicates": [f.address for f in g[1:]]} for g in groups],
            "skipped": [asdict(skip) for skip in skipped],
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        _print(groups, skipped)
        click.echo(f"{at.done}/{at.total} addresses, {len(groups)} devices, {at.packets} packets", err=True)
    if ending.state == "failed":
        raise ZhishouError(ending.message, zh=ending.zh)
    if ending.state == "cancelled":
        raise ZhishouError("the scan was cancelled", zh="扫描已取消")
    if not finds:
        raise UnreachableError(
            "nothing answered",
            hint="check the range, the port and the credentials; a wrong community looks like silence",
            zh="没有设备应答，请检查网段、端口和凭据；团体字错误与不应答看起来一样",
        )


def _print(groups: Sequence[Sequence[Find]], skipped: Sequence[Skip]) -> None:
    console = Console()
    if groups:
        table = Table()
        table.add_column("地址 address", no_wrap=True)
        for title in ("名称 name", "类别 kind", "型号 model", "版本 version", "序列号 serial"):
            table.add_column(title, overflow="fold")
        for first, *others in groups:
            more = "".join(f"\n+ {other.address}" for other in others)
            model = f"{first.vendor} {first.hardware}".strip()
            cells = (first.sys_name, first.kind, model, first.version, first.serial)
            table.add_row(first.address + more, *(cell or "-" for cell in cells))
        console.print(table)
    for skip in skipped:
        console.print(f"跳过 skipped {skip.address} ({skip.device}): {skip.reason}")


def _at_site(site: str, url: str, *, as_json: bool) -> None:
    with _stopped_by_signals() as stop, _bar(show=not as_json) as bar:
        document = follow(url, os.environ.get("ZHISHOU_TOKEN", ""), site, stop, bar)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{document['state']}: {document['done']}/{document['total']}, {document['found']} found")
    if document["state"] != "done":
        reason = document.get("reason") or {}
        message = reason.get("message", "") if isinstance(reason, dict) else ""
        raise ZhishouError(message or f"the scan is {document['state']}", where=site)
    if not document["found"]:
        raise UnreachableError("nothing answered", where=site, zh=f"{site}：没有设备应答")

"""The `snmp-exposition` seam of monitor.devices: modules of snmp.yml files over one device, as text."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

import structlog

from collectors.interface import Credential
from collectors.profiles.library import load_module_files
from collectors.profiles.modules import Auth, ModuleFile, WalkModule
from collectors.profiles.modules_read import Families, Labels, read_families
from collectors.snmp.client import open_transport
from collectors.snmp.errors import NoAnswerError, SnmpError
from collectors.snmp.exposition.scrape import Scrape, ScrapeError, Scraper
from collectors.snmp.exposition.text import CONTENT_TYPE, render
from monitor.clock import Clock, SystemClock
from monitor.devices import SnmpScrape
from monitor.errors import InputError, UnreachableError

# What snmp_exporter tells of itself, in its own words: name -> help.
_OWN: Final = {
    "snmp_scrape_walk_duration_seconds": "Time SNMP walk/bulkwalk took.",
    "snmp_scrape_packets_sent": "Packets sent for get, bulkget, and walk; including retries.",
    "snmp_scrape_packets_retried": "Packets retried for get, bulkget, and walk.",
    "snmp_scrape_pdus_returned": "PDUs returned from get, bulkget, and walk.",
    "snmp_scrape_duration_seconds": "Total SNMP time scrape took (walk and processing).",
}

_log = structlog.get_logger(__name__)


class Exposition:
    """Implements monitor.devices.SnmpExposition. Safe from several threads."""

    content_type = CONTENT_TYPE

    def __init__(self, files: ModuleFile, clock: Clock) -> None:
        self._files = files
        self._clock = clock

    def scrape(self, scrape: SnmpScrape) -> str:
        """The text. InputError: unknown module or auth; UnreachableError: the device could not be read."""
        modules = [self._module(name) for name in scrape.modules]
        credential = self._credential(scrape)
        deadline = self._clock.monotonic() + scrape.budget
        families = Families()
        for module in modules:
            labels = {"module": module.name} if len(modules) > 1 else {}
            started = self._clock.monotonic()
            result = self._read(scrape, module, credential, deadline)
            walked = self._clock.monotonic()
            read_families(module, result.varbinds, families, {})
            _tell(families, labels, result, walked - started, self._clock.monotonic() - started)
        return render(families)

    def _read(
        self, scrape: SnmpScrape, module: WalkModule, credential: Credential, deadline: float
    ) -> Scrape:
        try:
            transport = open_transport(
                scrape.address,
                scrape.port,
                credential,
                timeout=min(module.timeout, scrape.budget / 2),
                retries=0,
                clock=self._clock,
            )
        except SnmpError as error:
            raise _failed("connecting to", scrape, module, error) from error
        with closing(transport):
            try:
                return Scraper(transport, module, self._clock, deadline).run()
            except ScrapeError as error:
                raise _failed(error.doing, scrape, module, error.cause) from error

    def _module(self, name: str) -> WalkModule:
        if name not in self._files.modules:
            raise InputError(f"Unknown module '{name}'", zh=f"没有名为 {name} 的采集模块")
        return self._files.modules[name]

    def _credential(self, scrape: SnmpScrape) -> Credential:
        if not scrape.auth:
            return Credential(scrape.kind, **dict(scrape.fields))
        if scrape.auth not in self._files.auths:
            raise InputError(f"Unknown auth '{scrape.auth}'", zh=f"没有名为 {scrape.auth} 的认证项")
        return credential_of(self._files.auths[scrape.auth])


def credential_of(auth: Auth) -> Credential:
    """An auth of a module file as a credential. Raises InputError for what cannot be spoken."""
    if auth.context:
        raise InputError(
            f"auth '{auth.name}' has a context_name, which is not supported",
            zh=f"认证项 {auth.name} 含 context_name，暂不支持",
        )
    if auth.version < 3:
        return Credential("snmp-v1" if auth.version == 1 else "snmp-v2c", community=auth.community)
    with_auth, with_priv = auth.level != "noAuthNoPriv", auth.level == "authPriv"
    return Credential(
        "snmp-v3",
        user=auth.user,
        auth_protocol=auth.auth_protocol if with_auth else "",
        auth_password=auth.password if with_auth else "",
        priv_protocol=auth.priv_protocol if with_priv else "",
        priv_password=auth.priv_password if with_priv else "",
    )


def _tell(families: Families, labels: Labels, scrape: Scrape, walked: float, took: float) -> None:
    values: Iterable[float] = (walked, scrape.packets, scrape.retried, scrape.returned, took)
    for (name, help_text), value in zip(_OWN.items(), values, strict=True):
        families.add(name, help_text, "gauge", labels, float(value))


def _failed(doing: str, scrape: SnmpScrape, module: WalkModule, cause: SnmpError) -> UnreachableError:
    silent = isinstance(cause, NoAnswerError)
    reason = f"request timeout (after {module.retries} retries)" if silent else str(cause)
    return UnreachableError(f"error {doing} target {scrape.address}: {reason}", zh=cause.zh)


@cache
def _files(folder: str) -> ModuleFile:
    files, problems = load_module_files(Path(folder) if folder else None)
    for problem in problems:
        _log.error("a file of the profiles folder is left out", reason=str(problem))
    return files


def build(folder: str = "") -> Exposition:
    """The seam, by entry point `zhishou.collectors` / `snmp-exposition`; `folder`: the operator's own profiles."""
    return Exposition(_files(folder), SystemClock())

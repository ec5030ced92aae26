"""Settings: file < environment (`ZHISHOU_*`) < command-line flag. Secrets are never printed.

The file is `zhishou.yml` in the data folder (or `--config`). Every field carries its
documentation; `zhishou config show` prints it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

from monitor.document import read_document
from monitor.errors import InputError

T = TypeVar("T", str, int, float, bool)


def _setting(default: T, doc: str, *, secret: bool = False) -> T:
    made: T = field(default=default, metadata={"doc": doc, "secret": secret})
    return made


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default."""

    data: str = _setting("data", "data folder")
    listen: str = _setting("127.0.0.1:8080", "HOST:PORT of the console and all HTTP interfaces")
    database_url: str = _setting(
        "", "SQLAlchemy URL of the state database; empty: SQLite in the data folder", secret=True
    )
    insecure_local_api: bool = _setting(
        False, "machine endpoints without a token for loopback clients; loopback listener only"
    )
    tls_certificate: str = _setting("", "PEM certificate chain for HTTPS")
    tls_key: str = _setting("", "PEM private key for HTTPS")
    vault_key: str = _setting(
        "", "base64 of the 32-byte vault key; empty: file or systemd credential", secret=True
    )
    vault_key_file: str = _setting("", "file with the vault key; empty: vault.key in the data folder")
    rules_folder: str = _setting("", "folder of extra rule files; empty: only the library")
    profiles: str = _setting(
        "", "folder of own device profiles and snmp.yml files of snmp_exporter; empty: only ours"
    )
    evaluation_interval: float = _setting(
        15.0, "seconds between evaluations of a rule group without interval"
    )
    external_url: str = _setting("", "address under which people reach this console; for alert texts")
    external_labels: str = _setting(
        "", "NAME=VALUE,... that tell this installation from others; for alert texts"
    )
    retention_days: int = _setting(30, "days samples are kept")
    series_limit: int = _setting(2_000_000, "series the metric store takes in all")
    series_limit_of_site: int = _setting(100_000, "series the metric store takes of one site")
    query_concurrency: int = _setting(16, "PromQL queries that run at the same time; a few more wait")
    query_timeout: float = _setting(30.0, "seconds one PromQL query may take")
    query_max_samples: int = _setting(50_000_000, "samples one PromQL query may load or compute")
    remote_write_url: str = _setting(
        "",
        "where every sample is forwarded by remote_write: http(s)://HOST[:PORT]/PATH of VictoriaMetrics "
        "(/api/v1/write), Mimir (/api/v1/push) or Prometheus (/api/v1/write); empty: off",
    )
    remote_query_url: str = _setting(
        "",
        "the same back end's PromQL API in front of /api/v1, for times older than retention_days; empty: off",
    )
    remote_user: str = _setting("", "user of the back end for basic authentication; empty: bearer token")
    remote_secret_file: str = _setting(
        "",
        "file with the back end's token or password; empty: systemd credential zhishou-remote-secret, or none",
    )
    remote_ca_file: str = _setting("", "PEM authorities trusted for the back end besides the system's")
    remote_tenant: str = _setting("", "tenant of the back end, sent as X-Scope-OrgID; empty: none")
    remote_keep_mib: int = _setting(
        8192, "MiB of samples kept beyond our own need while the back end is down; older ones are dropped"
    )
    remote_keep_hours: float = _setting(72.0, "hours samples are kept for a back end that is down")
    remote_query_timeout: float = _setting(30.0, "seconds the back end has to answer a question")
    trap_listen: str = _setting(
        "0.0.0.0:1162,[::]:1162",
        "ADDRESS:PORT,... where collectors take SNMP traps and informs (UDP); empty: off",
    )
    trap_buffer_mib: int = _setting(32, "MiB of receive buffer asked of the kernel for each trap port")
    event_retention_days: int = _setting(180, "days events are kept; less than 180 is refused")
    idle_timeout: float = _setting(600.0, "seconds after which an idle console session ends")
    webhook_url: str = _setting("", "where the default webhook channel posts; empty: off", secret=True)
    webhook_secret: str = _setting("", "HMAC key of the webhook channel", secret=True)
    smtp_url: str = _setting(
        "", "smtp://user:password@host:port of the mail channel; empty: off", secret=True
    )
    smtp_from: str = _setting("", "sender address of the mail channel")
    smtp_to: str = _setting("", "comma-separated receivers of the mail channel")
    locale: str = _setting("zh", "language of messages without a user: zh or en")
    log_level: str = _setting("info", "debug, info, warning or error")

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data)

    @property
    def socket_path(self) -> Path:
        """The core's internal Unix socket, readable by its own user only."""
        return self.folder / "run" / "core.sock"

    def public(self) -> dict[str, str | int | float | bool]:
        """All settings with secrets replaced by ******** (empty ones stay empty)."""
        shown = {}
        for item in fields(self):
            value = getattr(self, item.name)
            shown[item.name] = "********" if item.metadata.get("secret") and value else value
        return shown


def load_settings(
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from file < environment < flags. Raises InputError naming the place of a bad value."""
    given = {k: v for k, v in (flags or {}).items() if v is not None}
    environment = {
        k[8:].lower(): v
        for k, v in (os.environ if environ is None else environ).items()
        if k.startswith("ZHISHOU_")
    }
    folder = Path(str(given.get("data") or environment.get("data") or "data"))
    path = file or folder / "zhishou.yml"
    settings = Settings()
    if path.exists():
        document = read_document(path)
        if not isinstance(document.data, dict | None):
            raise InputError("expected a mapping of settings", where=document.where(""))
        settings = _merge(settings, document.data or {}, document.where)
    settings = _merge(settings, environment, lambda _: "environment")
    settings = _merge(settings, given, lambda _: "command line")
    if settings.event_retention_days < 180:
        raise InputError(
            "event_retention_days is below 180",
            where=str(path),
            hint="network logs are kept six months by law",
        )
    return settings


def _merge(settings: Settings, given: Mapping[str, object], where: Callable[[str], str]) -> Settings:
    known = {item.name: item for item in fields(settings)}
    changes: dict[str, object] = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"unknown setting {name!r}", where=where(name), hint="see `zhishou config show`")
        changes[name] = _convert(name, value, type(known[name].default), where(name))
    return replace(settings, **changes)  # type: ignore[arg-type]


def _convert(name: str, value: object, kind: type, where: str) -> object:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    text = str(value).strip()
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                text.lower()
            ]
        return kind(text)
    except (KeyError, ValueError):
        raise InputError(f"setting {name}: {text!r} is not a {kind.__name__}", where=where) from None

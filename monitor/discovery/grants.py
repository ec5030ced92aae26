"""Which credentials a site's scans may try: those its devices use, and those released to it by name."""

from __future__ import annotations

from sqlalchemy import select

from monitor.audit import AuditLog
from monitor.clock import Clock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.directory import Directory
from monitor.discovery.tables import GrantRow
from monitor.errors import InputError
from monitor.model import Scope

_ORDER = ("snmp-v3", "snmp-v2c", "snmp-v1")


class SiteCredentials:
    """The credential set of each site, by name; secrets stay in the vault."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        credentials: Credentials,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._directory = directory
        self._credentials = credentials
        self._audit = audit
        self._clock = clock

    def names(self, site: str) -> list[tuple[str, str]]:
        """(name, kind) of the SNMP credentials of a site, in the order a scan tries them."""
        devices = self._directory.inventory().devices.values()
        used = {d.snmp.credential for d in devices if d.site == site and d.snmp is not None}
        with self._database.session() as session:
            used |= set(session.scalars(select(GrantRow.credential).where(GrantRow.site == site)))
        found = [(name, kind) for name, kind in self._credentials.names() if name in used and kind in _ORDER]
        return sorted(found, key=lambda item: (_ORDER.index(item[1]), item[0]))

    def released(self, site: str) -> list[str]:
        """Names released to a site by hand."""
        wanted = select(GrantRow.credential).where(GrantRow.site == site).order_by(GrantRow.credential)
        with self._database.session() as session:
            return list(session.scalars(wanted))

    def release(self, scope: Scope, site: str, name: str, actor: str) -> None:
        """Let a site's scans try a credential. InputError when it is no SNMP credential."""
        self._directory.site(scope, site)
        if name not in {n for n, kind in self._credentials.names() if kind in _ORDER}:
            raise InputError(f"no SNMP credential {name[:40]!r}", zh=f"没有名为 {name[:40]} 的 SNMP 凭据")
        with self._database.session() as session:
            session.merge(GrantRow(site=site, credential=name, actor=actor, created_at=self._clock.now_ms()))
        self._audit.record(actor, "discovery.release", site, {"credential": name})

    def withdraw(self, scope: Scope, site: str, name: str, actor: str) -> None:
        """Take a release back; devices that use the credential keep it in the set."""
        self._directory.site(scope, site)
        with self._database.session() as session:
            row = session.get(GrantRow, (site, name))
            if row is None:
                return
            session.delete(row)
        self._audit.record(actor, "discovery.withdraw", site, {"credential": name})

    def check(self, site: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names, all of the site's set and in the order to try; the whole set when none is given. InputError."""
        mine = [name for name, _ in self.names(site)]
        for name in names:
            if name not in mine:
                raise InputError(
                    f"credential {name[:40]!r} is not one of site {site}",
                    hint="a security administrator can release it to the site",
                    zh=f"凭据 {name[:40]} 不属于机构 {site}，可请安全管理员授权给该机构",
                )
        if not mine:
            raise InputError(
                f"site {site} has no SNMP credential",
                hint="a security administrator can release one to the site",
                zh=f"机构 {site} 没有可用的 SNMP 凭据，请安全管理员先授权",
            )
        return tuple(name for name in mine if not names or name in names)

"""The seam between pollers and the agent, and the assignment a collector works from.

A poller reads one device and returns a PollResult; it never raises for anything a device or network does.
Series carry only their own labels (`ifIndex` ...); the agent adds region, site, device, kind, vendor, instance, job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from monitor.clock import Clock
from monitor.discovery.interface import ScanOrder
from monitor.events.interface import Event
from monitor.metrics.interface import Labels
from monitor.model import Device, DeviceId, SiteId


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric at poll time."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class PollError:
    """What went wrong, for the device page. `code` is stable: timeout, bad-community, host-key, truncated,
    auth, refused, malformed, unreachable, unsupported ...
    """

    code: str
    message: str
    zh: str


@dataclass(frozen=True, slots=True)
class PollResult:
    """One poll of one device by one module (snmp, ssh, probe:<name>). `up` is whether the device answered.

    `identity` holds vendor, os, hardware, version, serial, sys_name, sys_object_id, profile where known.
    `detail` is what the device page and `zhishou poll` show (interfaces, sensors ...), JSON-able.
    """

    module: str
    up: bool
    at_ms: int
    duration_seconds: float
    readings: Sequence[Reading] = ()
    errors: Sequence[PollError] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credential:
    """A decrypted credential, in memory only; repr shows no secret."""

    kind: str  # snmp-v1 | snmp-v2c | snmp-v3 | ssh
    community: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    auth_protocol: str = ""
    auth_password: str = field(default="", repr=False)
    priv_protocol: str = ""
    priv_password: str = field(default="", repr=False)
    legacy: str = ""  # snmp-v3: weak protocols permitted all the same, of MD5, DES, noAuthNoPriv


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one collector polls: devices, where each site lies, and the credentials they name; and what it scans.

    `version` changes whenever anything in it changes (served as ETag).
    """

    version: str
    devices: Sequence[Device]
    regions: Mapping[SiteId, str]
    credentials: Mapping[str, Credential]
    scans: Sequence[ScanOrder] = ()


class Poller(Protocol):
    """Reads one device. Stateless between calls except for caches; safe to call from several threads."""

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        """One poll; never raises for anything the device or the network does."""
        ...


class Host(Protocol):
    """What the agent offers to what runs beside its polls. Safe from several threads."""

    @property
    def clock(self) -> Clock:
        """The collector's clock."""
        ...

    @property
    def collector(self) -> str:
        """The collector's id."""
        ...

    @property
    def folder(self) -> Path:
        """The collector's data folder."""
        ...

    def tell(self, key: str, event: Event) -> bool:
        """Spool an event under its id; False when it had to be dropped (counted), because the spool is full."""
        ...

    def record(self, samples: Sequence[tuple[Labels, int, float]]) -> bool:
        """Spool samples (labels, ms since the epoch, value); False when they had to be dropped (counted)."""
        ...

    def poll_soon(self, device: DeviceId) -> bool:
        """Poll a device now instead of in its turn; False when it is being polled or was asked for seconds ago."""
        ...


class Companion(Protocol):
    """Something that runs beside the polls of a collector: a trap receiver, a discovery scan.

    Built by a factory `(Host, Settings, CollectorRegistry) -> Companion` of the entry-point group
    `zhishou.companions`. Own threads, own errors: nothing it does may end the collector.
    """

    def start(self) -> None:
        """Begin; returns at once. What cannot begin (a port taken) logs why and stays off."""
        ...

    def assign(self, assignment: Assignment) -> None:
        """Work from this assignment from now on; called again whenever it changes."""
        ...

    def stop(self) -> None:
        """End within two seconds."""
        ...

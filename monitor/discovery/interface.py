"""What core, collectors and console share about discovery. Plain frozen data, JSON-able by monitor.documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.model import SiteId

DATASET: Final = "zhishou.discovery"
CHANGE_DATASET: Final = "zhishou.change"
PROGRESS: Final = "scan.progress"
FIND: Final = "scan.find"

DEFAULT_RATE: Final = 50.0
MAX_RATE: Final = 1000.0


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """A scan a collector shall run. `credentials` are names of the assignment's credentials, in the order to try.

    `rate` is packets a second in all, `in_flight` requests waiting for an answer at a time, times in seconds;
    `created_at` tells the scan from that of the same number of another installation.
    """

    id: int
    site: SiteId
    ranges: tuple[str, ...]
    credentials: tuple[str, ...]
    port: int = 161
    rate: float = DEFAULT_RATE
    in_flight: int = 64
    timeout: float = 2.0
    retries: int = 1
    max_seconds: float = 14_400.0
    created_at: int = 0

    @property
    def key(self) -> str:
        """What a collector remembers it by."""
        return f"{self.id}-{self.created_at}"


@dataclass(frozen=True, slots=True)
class Find:
    """One address that answered, and what it says about itself; what is not known is empty, never guessed.

    `snmp` is 1, 2c or 3; `engine_id` hex; `addresses` and `macs` are the device's own; `problems` say what of it could
    not be read; `kind` is a suggestion.
    """

    address: str
    port: int
    credential: str
    snmp: str
    sys_object_id: str = ""
    sys_descr: str = ""
    sys_name: str = ""
    engine_id: str = ""
    profile: str = ""
    kind: str = ""
    vendor: str = ""
    os: str = ""
    hardware: str = ""
    version: str = ""
    serial: str = ""
    addresses: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScanView:
    """One scan as pages show it. state: queued, running, done, cancelled, failed. Times in ms, `eta_seconds` None when
    it cannot be told. `skipped` lists {address, device, reason} of what must not be probed; `reason` is
    {code, message, zh} of a failed scan.
    """

    id: int
    site: str
    ranges: tuple[str, ...]
    credentials: tuple[str, ...]
    port: int
    rate: float
    state: str
    done: int
    total: int
    found: int
    packets: int
    speed: float
    eta_seconds: int | None
    actor: str
    origin: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    heard_at: int | None
    skipped: tuple[Mapping[str, str], ...] = ()
    reason: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RangeView:
    """A range a site is known to use. `weekly`: scanned again by itself every seven days."""

    id: int
    site: str
    ranges: tuple[str, ...]
    credentials: tuple[str, ...]
    port: int
    rate: float
    weekly: bool
    actor: str
    created_at: int
    scanned_at: int | None


@dataclass(frozen=True, slots=True)
class ProposalView:
    """One device that was found. state: new, known, approved, dismissed. `duplicates` are further addresses of it;
    `device` is its id in the inventory; `changed` whether it differs from what was dismissed.
    """

    id: int
    site: str
    state: str
    address: str
    duplicates: tuple[str, ...]
    port: int
    credential: str
    snmp: str
    kind: str
    vendor: str
    os: str
    hardware: str
    version: str
    serial: str
    sys_name: str
    sys_object_id: str
    sys_descr: str
    profile: str
    engine_id: str
    addresses: tuple[str, ...]
    macs: tuple[str, ...]
    problems: tuple[str, ...]
    device: str
    changed: bool
    reason: str
    actor: str
    scan: int
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class ChangeView:
    """Something about a polled device that is not as it was. `what`: serial, version, hardware, sys_object_id,
    sys_name, os, vendor, interfaces.new, interfaces.gone.
    """

    id: int
    site: str
    device: str
    at: int
    what: str
    before: str
    after: str
    message: str
    zh: str

"""The room's three documents as data: check (what to look for), suite (a list of checks), engagement (who and when)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from monitor.model import Kind, Severity


class Safety(StrEnum):
    """How far a check goes. Anything more intrusive than these two is refused by the loader."""

    SAFE = "safe"
    AUTH_PROBE = "auth-probe"


class EngagementKind(StrEnum):
    """单位自查, 区域互查, 授权渗透检查, 演练."""

    SELFINSPECT = "selfinspect"
    CROSSCHECK = "crosscheck"
    PENTEST = "pentest"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One test on one part of what was seen. `kind`: word, regex, binary (hex), member, number, open."""

    kind: str
    part: str = "response"
    values: tuple[str, ...] = ()
    every: bool = False
    negative: bool = False
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One look at one port. `data` is sent piece by piece, each followed by a read of at most `read_size` bytes.

    `service` recognises the service at all (empty: any answer will do); `matchers` recognise the weakness.
    `closed` says what a refused connection means: pass (the weakness is that the port answers) or not_applicable.
    `options` holds the keys that only this protocol's step knows.
    """

    port: int
    data: tuple[bytes, ...] = ()
    read_size: int = 1024
    timeout: float = 3.0
    closed: str = "not_applicable"
    service: tuple[Matcher, ...] = ()
    matchers: tuple[Matcher, ...] = ()
    every: bool = False
    options: Mapping[str, tuple[str, ...]] | None = None

    def option(self, name: str) -> tuple[str, ...]:
        """The values of a protocol's own key; empty when it is not given."""
        return (self.options or {}).get(name, ())


@dataclass(frozen=True, slots=True)
class CheckTest:
    """A check's own test: the parts seen at its first exchange, and the outcome they must give."""

    given: Mapping[str, str]
    expect: str
    line: int


@dataclass(frozen=True, slots=True)
class Check:
    """One reusable check."""

    id: str
    name: str
    authors: tuple[str, ...]
    severity: Severity
    description: str
    remediation: str
    tags: tuple[str, ...]
    cve: str
    mlps: tuple[str, ...]
    safety: Safety
    not_kind: tuple[Kind, ...]
    protocol: str
    exchanges: tuple[Exchange, ...]
    max_packets: int
    keep_bytes: int
    redact: tuple[str, ...]
    tests: tuple[CheckTest, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """An ordered list of checks."""

    id: str
    name: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A user acting for a site; `city` stands for the city's own desk."""

    user: str
    site: str


@dataclass(frozen=True, slots=True)
class Window:
    """When probing is allowed: [begin, end) in ms, on these ISO weekdays (1 = Monday) of the written UTC offset."""

    begin: int
    end: int
    days: tuple[int, ...]
    offset_minutes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast. Packets a second in total and per host, hosts at once, and packets in all."""

    pps: int = 100
    per_host_pps: int = 10
    concurrent_hosts: int = 16
    max_packets: int = 100_000


@dataclass(frozen=True, slots=True)
class CredentialPolicy:
    """Whether default credentials may be tried. `lockout`: none, a number of failures, or unknown (then none are)."""

    enabled: bool = False
    attempts_per_account: int = 1
    per_device_per_day: int = 1
    lockout: str = "unknown"


@dataclass(frozen=True, slots=True)
class StopCondition:
    """device_down_in_scope; loss_over with a ratio; alert_severity with a severity."""

    kind: str
    text: str
    ratio: float = 0.0
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class ScopeRules:
    """What is included and what never is: `site:ID`, `device:ID`, an address or a network."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureRule:
    """Packets kept as evidence: which devices, and at most how many bytes each."""

    devices: tuple[str, ...] = ()
    max_bytes: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Engagement:
    """One authorisation (授权单)."""

    id: str
    title: str
    kind: EngagementKind
    requester: Person
    approvers: tuple[Person, ...]
    document_sha256: str
    window: Window
    scope: ScopeRules
    limits: Limits
    credentials: CredentialPolicy
    suite: tuple[str, ...]
    stop_if: tuple[StopCondition, ...]
    capture: CaptureRule = CaptureRule()


def canonical(value: Engagement | Check) -> object:
    """The value as plain JSON data, the same for the same content whatever its layout in the file."""
    text = json.dumps(asdict(value), sort_keys=True, ensure_ascii=True, default=_plain)
    return json.loads(text)


def sha256_of(value: object) -> str:
    """SHA-256 (hex) of plain JSON data in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no canonical form")

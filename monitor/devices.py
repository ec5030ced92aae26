"""How rules and playbooks reach devices without knowing a protocol: seams filled by the collectors room.

Implementations register under the entry-point group `zhishou.collectors` by seam name:
`fact-reader` is a factory `() -> FactReader`, `snmp-codec` a factory `() -> SnmpCodec`, `snmp-exposition` a
factory `(folder: str) -> SnmpExposition`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Protocol, cast

from monitor.errors import InputError


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where and how to log in, read-only. Exactly one of `password` and `identity_file`/`private_key` is set.

    The host key must match `host_key` (`SHA256:...`) or an entry of `known_hosts`; otherwise nothing is sent.
    """

    host: str
    port: int = 22
    user: str = "root"
    password: str = ""
    identity_file: str = ""
    private_key: str = ""
    known_hosts: str = ""
    host_key: str = ""
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class RootfsTarget:
    """An unpacked Linux root: files are read below `path`, commands that need a running system are not."""

    path: str


@dataclass(frozen=True, slots=True)
class FactRequest:
    """One thing to read: a file (`path`) or the output of an exact command (`argv`, no shell)."""

    id: str
    path: str = ""
    argv: tuple[str, ...] = ()
    timeout: float = 10.0
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class RawFact:
    """What was read, unmasked, in memory only. `error` is set when it could not be read (then text is empty).

    `missing` distinguishes a file or command that does not exist from one that could not be read.
    """

    id: str
    source: str
    text: str
    exit_code: int
    read_at_ms: int
    error: str = ""
    missing: bool = False
    host_key: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


class FactReader(Protocol):
    """Reads facts from one target in one session; a fact that fails is a result, not an exception."""

    def read(self, target: SshTarget | RootfsTarget, requests: Sequence[FactRequest]) -> list[RawFact]:
        """One `RawFact` a request, in order. Raises UnreachableError when the session cannot be opened."""
        ...


@dataclass(frozen=True, slots=True)
class SnmpAnswer:
    """A decoded response: request id, error status (0 = none) and varbinds as dotted OID to printable value."""

    request_id: int
    error_status: int
    varbinds: Mapping[str, str | int | bytes | None]


class SnmpCodec(Protocol):
    """Encodes and decodes SNMP v1/v2c GET messages; opens no socket."""

    def encode_get(self, version: str, community: str, request_id: int, oids: Sequence[str]) -> bytes:
        """A GetRequest; `version` is '1' or '2c'."""
        ...

    def decode(self, data: bytes) -> SnmpAnswer:
        """Raises InputError on anything that is not a well-formed Response."""
        ...


@dataclass(frozen=True, slots=True)
class SnmpScrape:
    """One reading of one device for `/snmp`. `kind` and `fields` are its credential (monitor.credentials).

    `auth` names an auth of a module file to use instead; `budget`: no request is sent after so many seconds.
    """

    address: str
    port: int
    modules: tuple[str, ...]
    kind: str = ""
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: str = ""
    budget: float = 38.0


class SnmpExposition(Protocol):
    """Reads a device by modules of snmp_exporter and tells it as Prometheus text. Safe from several threads."""

    content_type: str

    def scrape(self, scrape: SnmpScrape) -> str:
        """InputError: a module or auth is not known; UnreachableError: the device could not be read."""
        ...


def fact_reader() -> FactReader:
    """The installed FactReader."""
    return cast(FactReader, _load("fact-reader"))


def snmp_codec() -> SnmpCodec:
    """The installed SnmpCodec."""
    return cast(SnmpCodec, _load("snmp-codec"))


def snmp_exposition(folder: str = "") -> SnmpExposition:
    """The installed SnmpExposition; `folder` holds the operator's own profiles and modules."""
    return cast(SnmpExposition, _load("snmp-exposition", folder))


def _load(seam: str, *arguments: str) -> object:
    for entry in entry_points(group="zhishou.collectors"):
        if entry.name == seam:
            return entry.load()(*arguments)
    raise InputError(f"no installed package offers {seam}", hint="install zhishou with its collectors room")

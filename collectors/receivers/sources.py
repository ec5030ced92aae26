"""Who sends: from the address a datagram came from to the registered device, and what it must prove.

The address inside a trap (agent-addr of v1, snmpTrapAddress) is believed only when a device tagged `trap-relay` sent
it; otherwise it is a remark in the event. A device that is polled with v1 or v2c must use its community; one that is
polled with v3 must sign its traps, an unsigned one is refused; one that is not polled over SNMP has nothing to prove
with, its traps are taken and marked as unverified.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from collectors.interface import Assignment, Credential
from monitor.model import Device

RELAY_TAG: Final = "trap-relay"
Resolve = Callable[[str], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Source:
    """A device that may send, and its SNMP credential when it has one."""

    device: Device
    credential: Credential | None = field(repr=False)
    credential_name: str = ""

    @property
    def relay(self) -> bool:
        """Whether it may speak for others."""
        return RELAY_TAG in self.device.tags

    @property
    def usm(self) -> bool:
        """Whether its traps must be signed."""
        return self.credential is not None and self.credential.kind == "snmp-v3"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose trap it is, or why it is refused. `verified` is whether a community was checked."""

    source: Source | None
    verified: bool = False
    refused: str = ""


class SourceBook:
    """The devices of one assignment by address. Immutable, so safe from several threads."""

    def __init__(self, assignment: Assignment, resolve: Resolve) -> None:
        found: dict[bytes, list[Source]] = {}
        for device in assignment.devices:
            name = device.snmp.credential if device.snmp is not None else ""
            source = Source(device, assignment.credentials.get(name), name)
            for packed in resolve(device.address):
                found.setdefault(packed, []).append(source)
        self._by_address: Mapping[bytes, tuple[Source, ...]] = {
            packed: tuple(sources) for packed, sources in found.items()
        }

    def at(self, host: bytes) -> tuple[Source, ...]:
        """The devices registered at a packed address, usually one; none when it is unknown."""
        return self._by_address.get(host, ())

    def judge(self, host: bytes, community: bytes, claimed: bytes = b"") -> Verdict:
        """Whose v1 or v2c trap with this community this is. `claimed` is the address inside the trap, if any."""
        candidates = self.at(host)
        if not candidates:
            return Verdict(None, refused="unknown-source")
        if claimed not in {b"", host, b"\0\0\0\0"} and any(source.relay for source in candidates):
            return self._relayed(candidates, community, claimed)
        return _proved(candidates, community)

    def _relayed(self, relays: tuple[Source, ...], community: bytes, claimed: bytes) -> Verdict:
        """A relay shows its own community, or passes on that of the device it speaks for."""
        behind = self.at(claimed)
        if not behind:
            return Verdict(relays[0], refused="unknown-relayed")
        own = _proved(relays, community)
        if own.refused and _proved(behind, community).refused:
            return Verdict(relays[0], refused="community")
        signed = next((source for source in behind if source.usm), None)
        if signed is not None:
            return Verdict(signed, refused="unsigned")
        return Verdict(behind[0], verified=not own.refused or bool(behind[0].credential))


def _proved(candidates: tuple[Source, ...], community: bytes) -> Verdict:
    with_community = [source for source in candidates if source.credential is not None and not source.usm]
    fitting = [source for source in with_community if _same(source, community)]
    if len(fitting) == 1 or (fitting and len({source.device.site for source in fitting}) == 1):
        return Verdict(fitting[0], verified=True)
    if fitting:
        return Verdict(candidates[0], refused="ambiguous")
    if with_community:
        return Verdict(with_community[0], refused="community")
    if candidates[0].usm:
        return Verdict(candidates[0], refused="unsigned")
    if len({source.device.site for source in candidates}) > 1:
        return Verdict(candidates[0], refused="ambiguous")
    return Verdict(candidates[0])


def _same(source: Source, community: bytes) -> bool:
    expected = source.credential.community if source.credential is not None else ""
    return bool(expected) and hmac.compare_digest(expected.encode(), community)


def literal(address: str) -> list[bytes]:
    """The packed form of an address literal, nothing for a host name."""
    try:
        return [ipaddress.ip_address(address.partition("%")[0]).packed]
    except ValueError:
        return []


def resolved(address: str) -> list[bytes]:
    """The packed addresses of a literal or host name; nothing when the name is not known. May wait for DNS."""
    found = literal(address)
    if found:
        return found
    try:
        answers = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return sorted({ipaddress.ip_address(str(answer[4][0]).partition("%")[0]).packed for answer in answers})

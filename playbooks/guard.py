"""The pure scope decision: who may be touched, when, and under whose signature. No I/O, no clock, default deny.

Targets = include ∩ registered devices − exclude − exclude_tags − do_not_probe − medical, after name resolution.
An address that any protected device also has is nobody's target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from monitor.model import Device, DeviceId, Inventory, Kind, SiteId
from playbooks.formats import (
    Check,
    CredentialPolicy,
    Engagement,
    EngagementKind,
    Safety,
    Window,
    canonical,
    sha256_of,
)

Names = Mapping[str, Sequence[str]]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One device at one address. `host` is the address as registered, perhaps a name."""

    device: DeviceId
    site: SiteId
    kind: Kind
    host: str
    address: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Every registered device of the engagement's reach is in exactly one of the two lists."""

    targets: tuple[Target, ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()  # (device id, or device id and address; reason)

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that have a target, sorted."""
        return tuple(sorted({str(target.site) for target in self.targets}))


@dataclass(frozen=True, slots=True)
class Approval:
    """One signature."""

    user: str
    site: str
    digest: str
    at: int = 0


def normalise(text: str) -> Address | None:
    """An address in its one form (IPv4-mapped IPv6 becomes IPv4, no zone); None for a name."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def resolve(engagement: Engagement, inventory: Inventory, names: Names) -> Decision:
    """Who would be touched. `names` maps every registered host name to its addresses."""
    shielded = _shielded(engagement, inventory, names)
    targets: list[Target] = []
    excluded: list[tuple[str, str]] = []
    for device in sorted(inventory.devices.values(), key=lambda d: d.id):
        addresses = _addresses(device, names)
        included = [a for a in addresses if _selected(engagement.scope.include, device, a)]
        named = _selected(engagement.scope.include, device, None)
        if not included and not named:
            continue
        reason = _device_reason(engagement, device) or (
            "" if addresses else "no address, or its name does not resolve"
        )
        if reason:
            excluded.append((device.id, reason))
            continue
        for address in included:
            refusal = _address_reason(engagement, device, address, shielded)
            if refusal:
                excluded.append((f"{device.id} {address}", refusal))
            else:
                targets.append(Target(device.id, device.site, device.kind, device.address, str(address)))
    return Decision(tuple(sorted(set(targets))), tuple(excluded))


def _addresses(device: Device, names: Names) -> list[Address]:
    own = normalise(device.address)
    texts = [str(own)] if own else list(names.get(device.address, ()))
    found = [normalise(text) for text in texts]
    return sorted({a for a in found if a}, key=lambda a: (a.version, int(a)))


def _selected(selectors: Sequence[str], device: Device, address: Address | None) -> bool:
    """Whether a selector names the device, or its network holds the address."""
    for selector in selectors:
        if selector in (f"site:{device.site}", f"device:{device.id}"):
            return True
        if address is not None and not selector.startswith(("site:", "device:")):
            network: Network = ip_network(selector)
            if network.version == address.version and address in network:
                return True
    return False


def _device_reason(engagement: Engagement, device: Device) -> str:
    if device.do_not_probe:
        return f"do not probe: {device.do_not_probe}"
    if device.kind is Kind.MEDICAL:
        return "medical device: passive and query checks only"
    tags = sorted(set(device.tags) & set(engagement.scope.exclude_tags))
    if tags:
        return f"excluded tag {tags[0]}"
    if engagement.kind is EngagementKind.SELFINSPECT and device.site != engagement.requester.site:
        return "a self-inspection covers the requester's own site only"
    if engagement.kind is EngagementKind.DRILL:
        return "a drill sends nothing at devices"
    return "excluded by the engagement" if _selected(engagement.scope.exclude, device, None) else ""


def _shielded(engagement: Engagement, inventory: Inventory, names: Names) -> dict[Address, str]:
    """Addresses of every protected device, whether or not the engagement includes it."""
    found: dict[Address, str] = {}
    for device in inventory.devices.values():
        if _device_reason(engagement, device):
            found.update(dict.fromkeys(_addresses(device, names), device.id))
    return found


def _address_reason(
    engagement: Engagement, device: Device, address: Address, shielded: Mapping[Address, str]
) -> str:
    if address in shielded:
        return f"shares its address with the protected {shielded[address]}"
    if _selected(engagement.scope.exclude, device, address):
        return "excluded by the engagement"
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return "not the address of one host"
    return ""


def digest_of(engagement: Engagement, checks: Sequence[Check], decision: Decision) -> str:
    """SHA-256 of engagement + suite + resolved targets: what approvers sign. Any edit changes it."""
    return sha256_of(
        {
            "engagement": canonical(engagement),
            "checks": [canonical(check) for check in checks],
            "targets": [[t.device, t.site, t.kind, t.host, t.address] for t in decision.targets],
        }
    )


def window_reason(window: Window, now_ms: int) -> str:
    """Why nothing may be sent now; empty inside the window."""
    if now_ms < window.begin:
        return "the window has not begun"
    if now_ms >= window.end:
        return "the window has ended"
    local = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(minutes=window.offset_minutes)
    return "" if local.isoweekday() in window.days else "not on this day of the week"


def signing_reason(
    engagement: Engagement, approvals: Sequence[Approval], user: str, site: str, digest: str, current: str
) -> str:
    """Why this person may not sign; empty when they may."""
    if user == engagement.requester.user:
        return "nobody approves what they asked for"
    if not any(person.user == user and person.site == site for person in engagement.approvers):
        return f"{user} of {site} is not an approver of this engagement"
    if digest != current:
        return "the plan has changed since it was read; read it again"
    if any(approval.user == user and approval.digest == current for approval in approvals):
        return f"{user} has signed already"
    return ""


def valid_approvals(
    engagement: Engagement, approvals: Sequence[Approval], digest: str
) -> tuple[Approval, ...]:
    """The signatures that count: of this digest, by listed approvers, each once, never the requester's."""
    counted: dict[str, Approval] = {}
    for approval in approvals:
        reason = signing_reason(
            engagement, tuple(counted.values()), approval.user, approval.site, approval.digest, digest
        )
        if not reason:
            counted[approval.user] = approval
    return tuple(counted.values())


def approval_reason(
    engagement: Engagement, approvals: Sequence[Approval], digest: str, target_sites: Sequence[str]
) -> str:
    """Why it is not approved; empty with two signatures and the consent of every target site."""
    counted = valid_approvals(engagement, approvals, digest)
    silent = sorted(set(target_sites) - {approval.site for approval in counted})
    if silent:
        return f"no consent of {', '.join(silent)}"
    if len(counted) < 2:
        return f"{len(counted)} of 2 approvals"
    return ""


def needed_approvals(engagement: Engagement, target_sites: Sequence[str]) -> int:
    """How many signatures: two, or one for every target site when those are more."""
    return max(2, len(set(target_sites)))


def credential_reason(policy: CredentialPolicy) -> str:
    """Why no credential may be tried at all; empty when some may. An unknown lockout policy means none."""
    if not policy.enabled:
        return "credential checks are not enabled by the engagement"
    if policy.lockout == "unknown":
        return "lockout policy unknown: no credential is tried"
    if policy.lockout != "none" and policy.attempts_per_account >= int(policy.lockout):
        return "an attempt could lock the account"
    return ""


def check_reason(engagement: Engagement, check: Check, target: Target) -> tuple[str, str]:
    """(outcome, reason) when a check will not run on a target; ("", "") when it will."""
    if target.kind in check.not_kind:
        return "not_applicable", f"not for {target.kind} devices"
    if check.safety is Safety.AUTH_PROBE:
        reason = credential_reason(engagement.credentials)
        if reason:
            return "not_tested", reason
    return "", ""


@dataclass(frozen=True, slots=True)
class Warrant:
    """What a run may do; the gate asks it before every packet. Made by `issue` only when everything is in order."""

    window: Window
    targets: frozenset[tuple[str, str]]  # (device id, address)
    services: frozenset[tuple[str, int]]  # (tcp | udp, port)

    def refusal(self, device: str, address: str, transport: str, port: int, now_ms: int) -> str:
        """Why this packet may not be sent; empty when it may. `address` is the one after resolution."""
        normal = normalise(address)
        if normal is None or (device, str(normal)) not in self.targets:
            return f"{address} is not a target of this engagement"
        if (transport, port) not in self.services:
            return f"{transport} port {port} belongs to no check of this engagement"
        return window_reason(self.window, now_ms)


def issue(
    engagement: Engagement,
    checks: Sequence[Check],
    decision: Decision,
    approvals: Sequence[Approval],
    now_ms: int,
    transport_of: Callable[[str], str],
) -> tuple[Warrant | None, str]:
    """The warrant, or None and why not."""
    digest = digest_of(engagement, checks, decision)
    reason = approval_reason(engagement, approvals, digest, decision.sites)
    reason = reason or window_reason(engagement.window, now_ms)
    if not reason and not decision.targets:
        reason = "nothing in the scope may be tested"
    if reason:
        return None, reason
    services = {(transport_of(check.protocol), e.port) for check in checks for e in check.exchanges}
    targets = {(str(target.device), target.address) for target in decision.targets}
    return Warrant(engagement.window, frozenset(targets), frozenset(services)), ""

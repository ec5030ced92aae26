"""The events the receiver tells: flat ECS documents of dataset `zhishou.trap`. Pure.

`message` is Chinese, `zhishou.message_en` English. `event.action` is `trap.NAME` (`trap.unknown` without a name),
`trap.refused.REASON` for what was not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collectors.receivers.coalesce import WINDOW_MS, Offence
from collectors.receivers.sources import Source
from collectors.receivers.translate import Described
from collectors.snmp.ber import dotted
from collectors.snmp.message import Trap
from monitor.events.interface import Event
from monitor.model import Severity

DATASET: Final = "zhishou.trap"
RAW_LIMIT: Final = 1024

_OF_ONE_KIND: Final = frozenset(
    {"zhishou.trap.oid", "zhishou.trap.name", "zhishou.trap.raw", "zhishou.trap.uptime"}
)

# reason: (Chinese, English); {place} is the device or address.
REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "unknown-source": (
        "收到未登记地址 {place} 的 SNMP 陷阱，未采信{note}；若是本单位设备请登记其地址",
        "SNMP traps from {place}, an address that is not registered, were not taken{note}; register it if it is yours",
    ),
    "unknown-relayed": (
        "中继 {place} 转来未登记设备的陷阱，未采信{note}",
        "relay {place} passed on traps of a device that is not registered; they were not taken{note}",
    ),
    "community": (
        "{place} 的陷阱团体名与登记的不符，未采信；请核对设备上的陷阱配置，或有人冒充该地址",
        "{place} sent traps with another community than registered; they were not taken: check its trap settings",
    ),
    "unsigned": (
        "{place} 登记为 SNMPv3，却收到未签名的 v1/v2c 陷阱，未采信；请在设备上改用 v3 陷阱",
        "{place} is registered with SNMPv3 but an unsigned v1 or v2c trap came; it was not taken: set v3 traps there",
    ),
    "ambiguous": (
        "地址 {place} 登记了多台设备，无法判断陷阱属于哪一台，未采信",
        "several devices are registered at {place}, it cannot be told whose traps these are; they were not taken",
    ),
    "not-v3": (
        "{place} 发来 SNMPv3 陷阱，但没有为它登记 v3 凭据，未采信",
        "{place} sent SNMPv3 traps but no v3 credential is registered for it; they were not taken",
    ),
    "user": (
        "{place} 的 SNMPv3 陷阱用户名与登记的不符，未采信",
        "{place} sent SNMPv3 traps of another user than registered; they were not taken",
    ),
    "level": (
        "{place} 的 SNMPv3 陷阱安全级别低于登记的，未采信",
        "{place} sent SNMPv3 traps below the registered security level; they were not taken",
    ),
    "digest": (
        "{place} 的 SNMPv3 陷阱认证失败（口令不符或报文被篡改），未采信",
        "SNMPv3 traps of {place} failed authentication (wrong password, or altered on the way); they were not taken",
    ),
    "decryption": (
        "{place} 的 SNMPv3 陷阱无法解密（加密口令不符），未采信",
        "SNMPv3 traps of {place} cannot be decrypted (wrong privacy password); they were not taken",
    ),
    "window": (
        "{place} 的 SNMPv3 陷阱不在时间窗内（可能被重放，或设备时钟倒退），未采信",
        "SNMPv3 traps of {place} are outside the time window (replayed, or its clock went back); they were not taken",
    ),
    "replay": (
        "{place} 的 SNMPv3 陷阱被重放（同一报文再次出现），未采信",
        "SNMPv3 traps of {place} were replayed (the same message came again); they were not taken",
    ),
    "engine": (
        "{place} 在短时间内用了过多 SNMPv3 引擎号，未采信",
        "{place} used too many SNMPv3 engine ids in a short time; the traps were not taken",
    ),
    "protocol": (
        "{place} 登记的 SNMPv3 认证或加密方式不被接受，其陷阱未采信",
        "the SNMPv3 protocols registered for {place} are not accepted; its traps were not taken",
    ),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One trap that was taken. `verified`: its community or signature was checked. `peer` is the sender's address."""

    source: Source
    trap: Trap
    peer: str
    version: str  # 1, 2c or 3
    verified: bool
    at_ms: int
    raw: bytes


def told(
    collector: str, arrival: Arrival, described: Described
) -> dict[str, str | int | float | bool | None]:
    """The event of one trap."""
    device = arrival.source.device
    event: dict[str, str | int | float | bool | None] = {
        "@timestamp": arrival.at_ms,
        "event.dataset": DATASET,
        "event.action": f"trap.{described.name or 'unknown'}",
        "zhishou.collector": collector,
        "zhishou.site": device.site,
        "zhishou.device": device.id,
        "zhishou.severity": described.severity.value,
        "zhishou.trap.oid": dotted(arrival.trap.trap_oid),
        "zhishou.trap.name": described.name,
        "zhishou.trap.version": arrival.version,
        "zhishou.trap.verified": arrival.verified,
        "zhishou.trap.count": 1,
        "zhishou.trap.uptime": arrival.trap.uptime,
        "zhishou.trap.varbinds": described.listing,
        "source.ip": arrival.peer,
        "message": described.zh,
        "zhishou.message_en": described.en,
    }
    if described.state:
        event |= {"zhishou.trap.state": described.state, "zhishou.trap.condition": described.pair}
    inner = arrival.trap.agent_address
    if len(inner) == 4 and any(inner) and ".".join(map(str, inner)) != arrival.peer:
        event["zhishou.trap.agent_address"] = ".".join(map(str, inner))
    if not described.name:
        event["zhishou.trap.raw"] = arrival.raw[:RAW_LIMIT].hex()
    event |= {f"zhishou.trap.varbind.{name}": value for name, value in described.fields.items()}
    return event


def repeated(
    collector: str,
    arrival: Arrival,
    described: Described,
    count: int,
    at_ms: int,
    *,
    folded: bool,
    kinds: bool,
) -> dict[str, str | int | float | bool | None]:
    """The event at the end of a window: `count` more like this one, or (`folded`) more with other values, of this
    kind (`kinds`) or of any.
    """
    seconds = WINDOW_MS // 1000
    event = told(collector, arrival, described)
    name = described.name or dotted(arrival.trap.trap_oid)
    if not folded:
        zh, en = (
            f"{described.zh}（{seconds} 秒内又收到 {count} 次）",
            f"{described.en} ({count} more within {seconds} s)",
        )
    elif kinds:
        zh = f"{seconds} 秒内另有 {count} 条 {name} 陷阱内容各异，已合并"
        en = f"{count} more {name} traps with other values within {seconds} s, folded"
    else:
        zh = f"陷阱风暴：{seconds} 秒内另有 {count} 条陷阱，已合并"
        en = f"Trap storm: {count} more traps within {seconds} s, folded"
        event |= {"event.action": "trap.storm", "zhishou.severity": Severity.MINOR.value}
        event = {key: value for key, value in event.items() if key not in _OF_ONE_KIND}
    if folded:
        event = {key: value for key, value in event.items() if not key.startswith("zhishou.trap.varbind")}
        event.pop("zhishou.trap.state", None)
        event.pop("zhishou.trap.condition", None)
    event |= {"@timestamp": at_ms, "zhishou.trap.count": count, "message": zh, "zhishou.message_en": en}
    return event


def refused(
    collector: str, offence: Offence, place: str, note: str, source: Source | None, at_ms: int
) -> Event:
    """The event about refusals of one reason from one place, told at most once an hour. `note` is what an unknown
    sender says of itself.
    """
    chinese, english = REFUSALS[offence.reason]
    zh = chinese.format(place=place or "其他来源", note=note and f"（{note}）")
    en = english.format(place=place or "other sources", note=note and f" ({note})")
    if offence.count > 1:
        zh, en = f"{zh}（{offence.count} 条）", f"{en} ({offence.count} of them)"
    event: dict[str, str | int | float | bool | None] = {
        "@timestamp": at_ms,
        "event.dataset": DATASET,
        "event.action": f"trap.refused.{offence.reason}",
        "zhishou.collector": collector,
        "zhishou.severity": Severity.MINOR.value,
        "zhishou.trap.count": offence.count,
        "message": zh,
        "zhishou.message_en": en,
    }
    if source is not None:
        event |= {"zhishou.site": source.device.site, "zhishou.device": source.device.id}
    return event

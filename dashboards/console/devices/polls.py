"""How polling of a device goes: recognised profile and why, each module, the last day, and what to do when it fails."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog
from flask_babel import gettext as _

from collectors import profiles
from collectors.profiles.loader import parse_profile
from collectors.profiles.profile import Match
from collectors.snmp.ber import dotted
from dashboards.console.devices.reading import JOBS, Heard
from dashboards.console.devices.subject import Subject
from dashboards.i18n import english
from dashboards.scope import backend
from dashboards.states import COLLECTOR_LOST_MS
from monitor.errors import ZhishouError

log = structlog.get_logger(__name__)

BUCKETS, BUCKET = 48, 1800  # the strip: two a hour over a day
GENERIC = ("generic", "generic-if")
_PROFILE = re.compile(r"[a-z0-9][a-z0-9-]*")
_OF_MODULE = re.compile(r"^(\w[\w-]*)[:\uff1a]\s*")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What stands in the way and what to do. `command` may be empty."""

    mark: str
    title: str
    advice: Sequence[str] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class ModuleHealth:
    """One module of the profile: read or not, and why not."""

    name: str
    up: bool | None
    errors: Sequence[Trouble] = ()


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One way of polling: its last day as a strip of states, its response time in seconds."""

    module: str
    heard: Heard
    ratio: float | None  # share of answered polls in a day
    strip: Sequence[str]  # ok, minor, critical or unknown, oldest first
    durations: Sequence[float | None]
    duration: float | None
    samples: int | None


@dataclass(frozen=True, slots=True)
class Recognition:
    """Which profile reads a device and by what it was recognised."""

    profile: str
    why: str
    evidence: Sequence[tuple[str, str]]
    generic: bool


def jobs(subject: Subject) -> list[JobHealth]:
    """SNMP and SSH, as far as the device is polled by them."""
    readings = subject.readings
    match = f'{readings.match},job=~"snmp|node"'
    end = -(-readings.now_ms // 1000 // 60) * 60
    times = [end - BUCKET * (BUCKETS - 1 - place) for place in range(BUCKETS)]
    shares = readings.lines(f"avg_over_time(up{{{match}}}[{BUCKET}s])", times, "job")
    takes = readings.lines(f"avg_over_time(device_poll_duration_seconds{{{match}}}[{BUCKET}s])", times, "job")
    day = readings.by("job", f"avg_over_time(up{{{match}}}[1d])", readings.now_ms)
    last = readings.by("job", f"device_poll_duration_seconds{{{match}}}", readings.now_ms)
    counts = readings.by("job", f"count by (job) ({{{match}}})", readings.now_ms)
    return [
        JobHealth(
            JOBS.get(job, job),
            heard,
            day.get(job),
            [_bucket(share) for share in shares.get(job, [None] * BUCKETS)],
            takes.get(job, ()),
            last.get(job),
            int(counts[job]) if job in counts else None,
        )
        for job, heard in readings.heard.items()
    ]


def modules(subject: Subject) -> list[ModuleHealth]:
    """Modules of the profile, failed ones first; each with the errors of the last status that name it."""
    states = subject.readings.fact("snmp_module_up", "module")
    errors: dict[str, list[Trouble]] = {}
    for status in subject.statuses:
        for error in status.errors:
            if status.module == "snmp" and (found := _OF_MODULE.match(error.get("message") or "")):
                errors.setdefault(found.group(1), []).append(_trouble_of(subject, error, of_module=True))
    names = states | {name: 0.0 for name in errors if name not in states}
    made = [ModuleHealth(name, value == 1.0, errors.get(name, ())) for name, value in names.items()]
    return sorted(made, key=lambda module: (module.up is True, module.name))


def troubles(subject: Subject) -> list[Trouble]:
    """What keeps the device from being read, first things first; empty when all is well."""
    device, site = subject.device, subject.site
    if device.snmp is None and device.ssh is None and not device.probes:
        return [
            Trouble(
                "unknown",
                _("这台设备没有登记采集方式"),
                [
                    _(
                        "在资产台账为它写上 snmp 或 ssh（凭据、端口、间隔），再执行一次登记；平台随后自动开始采集。"
                    )
                ],
                "zhishou inventory apply inventory.yml",
            )
        ]
    found = [*_missing_credentials(subject), *_collector(subject)]
    for status in subject.statuses:
        if not status.up or status.errors:
            found += [
                _trouble_of(subject, error, mark="unknown" if not status.up else "minor")
                for error in status.errors
                if status.module != "snmp" or not _OF_MODULE.match(error.get("message") or "")
            ]
    if not subject.statuses and subject.checked_at is None and not found:
        interval = device.snmp.interval if device.snmp else device.ssh.interval if device.ssh else 60.0
        found.append(
            Trouble(
                "unknown",
                _("还没有采集过这台设备"),
                [
                    _(
                        "已下发给采集器 %(c)s，每 %(s)s 秒采集一次，首次结果会自动出现在这里。",
                        c=site.collector,
                        s=f"{interval:g}",
                    ),
                    _("超过两分钟仍没有结果，请核对采集器的日志，以及它到这台设备的路由。"),
                ],
                _poll_command(subject),
            )
        )
    return found


def recognition(subject: Subject) -> Recognition | None:
    """None before the device has been recognised."""
    identity, access = subject.identity, subject.device.snmp
    name = identity.get("profile", "")
    if access is None or not name:
        return None
    object_id, descr = identity.get("sys_object_id", ""), identity.get("sys_descr", "")
    evidence = [(key, text) for key, text in (("sysObjectID", object_id), ("sysDescr", descr)) if text]
    if access.profile != "auto":
        return Recognition(name, _("资产台账指定了这个配置"), evidence, generic=False)
    if name in GENERIC:
        return Recognition(name, _("没有专用配置认得这台设备，只按通用 MIB 读取"), evidence, generic=True)
    return Recognition(name, _why(name, object_id, descr), evidence, generic=False)


def _why(name: str, object_id: str, descr: str) -> str:
    longest, by_descr = "", False
    for match in _matches(name):
        prefix = dotted(match.prefix) if match.prefix else ""
        if prefix and f"{object_id}.".startswith(f"{prefix}.") and len(prefix) > len(longest):
            longest = prefix
        by_descr = by_descr or (not match.prefix and match.descr is not None)
    if longest:
        return str(_("sysObjectID 落在 %(p)s 之下", p=longest))
    if by_descr:
        return str(_("sysDescr 的文字与配置相符"))
    return str(_("设备答出了该配置独有的对象"))


@cache
def _matches(name: str) -> Sequence[Match]:
    """What a profile that ships with the program is recognised by; only its own file is read."""
    path = Path(profiles.__file__).parent / f"{name}.yml"
    if not _PROFILE.fullmatch(name) or not path.exists():
        return ()
    try:
        return parse_profile(path).profile.matches
    except ZhishouError as error:  # the page still says which profile, only not why
        log.warning("profile-not-read", profile=name, error=str(error))
        return ()


def _bucket(share: float | None) -> str:
    if share is None:
        return "unknown"
    return "ok" if share > 0.999 else "critical" if share < 0.001 else "minor"


def _missing_credentials(subject: Subject) -> list[Trouble]:
    known = {name for name, _kind in backend().credentials.names()}
    answering = {status.module for status in subject.statuses if status.up}
    ways = {"snmp": subject.device.snmp, "ssh": subject.device.ssh}
    wanted = [access.credential for module, access in ways.items() if access and module not in answering]
    return [
        Trouble(
            "unknown",
            _("凭据 %(n)s 不存在，无法读取", n=name or _("（空）")),
            [_("在资产台账的 credentials 里加上这个名称，或改用已有的凭据，再登记一次；下次采集自动使用。")],
            "zhishou inventory apply inventory.yml",
        )
        for name in wanted
        if name not in known
    ]


def _collector(subject: Subject) -> list[Trouble]:
    name, now = str(subject.site.collector), subject.readings.now_ms
    seen = {collector.id: collector.last_seen for collector in backend().directory.collectors()}
    if name not in seen:
        title = _("采集器 %(c)s 从未上线", c=name)
    elif now - seen[name] > COLLECTOR_LOST_MS:
        title = _("采集器 %(c)s 已失联，本页停在失联前", c=name)
    else:
        return []
    advice = [_("到采集器所在主机核对服务是否运行、到平台的网络是否通畅；恢复后它会补传断网期间的数据。")]
    return [Trouble("stale", title, advice, "zhishou doctor")]


def _trouble_of(
    subject: Subject, error: Mapping[str, str], mark: str = "minor", *, of_module: bool = False
) -> Trouble:
    message, chinese = error.get("message") or "", error.get("zh") or ""
    text = message if english() else chinese or message
    code = error.get("code") or ""
    if of_module and code == "timeout":  # the rest of the device answers
        advice = [_("设备在线，只有这一段没有应答：多为表很大或固件缺陷，可放宽超时；视图受限时也会这样。")]
        return Trouble(mark, text, advice)
    return Trouble(mark, text, _advice(code, subject), _poll_command(subject))


def _poll_command(subject: Subject) -> str:
    """The command that tries it by hand from the collector, without any secret in it."""
    access, address = subject.device.snmp, subject.device.address
    if access is None:
        return ""
    host = f"[{address}]" if ":" in address else address
    where = shlex.quote(host if access.port == 161 else f"{host}:{access.port}")
    kinds = dict(backend().credentials.names())
    option = {"snmp-v3": " --v3-user USER", "snmp-v1": " --v1"}.get(kinds.get(access.credential, ""), "")
    return f"zhishou poll {where}{option}"


def _advice(code: str, subject: Subject) -> list[str]:
    """What to do about an error, the likeliest first."""
    device = subject.device
    credential = device.snmp.credential if device.snmp else ""
    known = {
        "timeout": [
            _("先确认设备在线（探测、值守台是否有失联告警）。"),
            _(
                "核对设备上的 SNMP 已启用、允许采集器的地址访问，且与凭据 %(c)s 的版本和团体名一致。",
                c=credential,
            ),
        ],
        "refused": [
            _(
                "主机在线但没有 SNMP 服务：在设备上启用，或更正资产台账里的端口 %(p)s。",
                p=device.snmp.port if device.snmp else "",
            )
        ],
        "auth": [
            _(
                "设备拒绝了 v3 用户：核对凭据 %(c)s 的用户名、认证与加密协议、两个口令，以及设备上该用户的安全级别。",
                c=credential,
            ),
            _("设备换过引擎 ID 或恢复过配置时，要在设备上重建该用户。"),
        ],
        "no-credential": [
            _("在资产台账的 credentials 里加上凭据 %(c)s，或改用已有的凭据，再登记一次。", c=credential)
        ],
        "profile": [_("资产台账写的配置名不存在：改为 auto，或用 zhishou profile 查看可用的名称。")],
        "unreachable": [
            _("采集器到这台设备没有路由或地址有误，请核对资产台账里的地址 %(a)s。", a=device.address)
        ],
        "not-increasing": [_("设备代理的缺陷，已读到的数据有效；升级固件后通常消失。")],
        "empty": [_("设备代理的缺陷，已读到的数据有效；升级固件后通常消失。")],
        "budget": [_("表太大，一次读不完：放宽这台设备的采集间隔。")],
        "noAccess": [_("设备的 SNMP 视图不含这些对象：在设备上放宽该用户或团体的视图。")],
        "authorizationError": [_("设备的 SNMP 视图不含这些对象：在设备上放宽该用户或团体的视图。")],
    }
    return [str(line) for line in known.get(code, [])]

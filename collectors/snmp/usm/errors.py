"""How SNMPv3 fails: all of them AuthErrors with a stable `reason`, the message id they are about, and a remedy.

AuthError
├── PolicyError        the credential asks for something that is refused here; nothing was sent
├── UntrustedError     a datagram that proves nothing: drop it and wait on, the true answer may follow
├── ReportedError      the agent refused our message and said why
└── AgainError         the agent told its engine or its time: send the request again
    └── EngineChangedError  the agent has another engine id than before
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from collectors.snmp.errors import AuthError, SnmpError

NO_ID: Final = -1


class UsmError(AuthError):
    """`reason` is a stable word; `msg_id` that of the datagram, NO_ID when it has none."""

    def __init__(
        self, where: str, reason: str, message: str, *, hint: str, zh: str, msg_id: int = NO_ID
    ) -> None:
        SnmpError.__init__(self, message, where=where, hint=hint, zh=f"{zh}（{where}）")
        self.reason = reason
        self.msg_id = msg_id


class PolicyError(UsmError):
    """A credential that is refused before anything is sent."""


class UntrustedError(UsmError):
    """A datagram that cannot be believed: forged, replayed, altered, or meant for another."""

    def __init__(self, where: str, reason: str, *, msg_id: int = NO_ID) -> None:
        message, zh = UNTRUSTED[reason]
        super().__init__(
            where,
            reason,
            f"an SNMPv3 answer was refused: {message}",
            hint="check both passwords and protocols; when they are right, someone forges or replays answers",
            zh=f"拒收一份 SNMPv3 应答：{zh}；请核对认证、加密协议及口令，若均无误则可能有人伪造或重放报文",
            msg_id=msg_id,
        )


class ReportedError(UsmError):
    """The agent answered with a Report that names the cause."""

    def __init__(self, where: str, reason: str, *, msg_id: int = NO_ID) -> None:
        said = REPORTED[reason]
        super().__init__(
            where,
            reason,
            f"SNMPv3 authentication failed: the agent reports {said.name}",
            hint=said.hint,
            zh=f"SNMPv3 认证失败，设备报告 {said.name}：{said.zh}",
            msg_id=msg_id,
        )


class AgainError(UsmError):
    """Engine id or time are known now: the request must be sent again."""

    def __init__(self, where: str, reason: str, *, msg_id: int = NO_ID) -> None:
        super().__init__(
            where,
            reason,
            f"the agent asks to be addressed anew ({reason})",
            hint="send the request again; when this never ends, the agent's engine id or clock is defective",
            zh="设备要求重新同步引擎标识或时间后再发送；若反复出现，说明设备的 SNMP 引擎标识或时钟有缺陷",
            msg_id=msg_id,
        )


class EngineChangedError(AgainError):
    """Another engine id than the one known: replaced, reset, or the report is forged."""


@dataclass(frozen=True, slots=True)
class Said:
    """One Report: its object's name and what to do about it."""

    name: str
    hint: str
    zh: str


REPORTED: Final[Mapping[str, Said]] = MappingProxyType(
    {
        "reported-unsupported-level": Said(
            "usmStatsUnsupportedSecLevels",
            "the user is not set up with this authentication and privacy on the device; "
            "give the user both, or correct the protocols of the credential",
            "设备上该用户未按此级别配置认证与加密，请在设备上为其配置，或更正凭据中的协议",
        ),
        "reported-not-in-time-window": Said(
            "usmStatsNotInTimeWindows",
            "the agent's clock or boot counter is defective; restart its SNMP service",
            "设备 SNMP 引擎的时间或重启计数异常，请重启设备的 SNMP 服务",
        ),
        "reported-unknown-user": Said(
            "usmStatsUnknownUserNames",
            "the device does not know this user; create it there or correct the user name",
            "设备上没有该用户，请在设备上创建，或更正凭据中的用户名",
        ),
        "reported-unknown-engine": Said(
            "usmStatsUnknownEngineIDs",
            "the agent changes its engine id or answers for another; check for duplicate addresses",
            "设备的引擎标识不稳定或有地址冲突，请检查是否有两台设备使用同一地址",
        ),
        "reported-wrong-digest": Said(
            "usmStatsWrongDigests",
            "the authentication protocol or password differs from the device's",
            "认证协议或认证口令与设备不一致，请更正",
        ),
        "reported-decryption": Said(
            "usmStatsDecryptionErrors",
            "the privacy protocol or password differs from the device's",
            "加密协议或加密口令与设备不一致，请更正",
        ),
        "reported-unknown-context": Said(
            "snmpUnknownContexts",
            "the device does not offer the default context to this user",
            "设备未向该用户开放默认上下文，请检查设备的 SNMP 上下文与视图配置",
        ),
        "reported-other": Said(
            "a Report of another kind",
            "see the device's log of its SNMP service",
            "请查看设备 SNMP 服务的日志",
        ),
    }
)

UNTRUSTED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "not-v3": ("it is not SNMPv3 with this security model", "不是采用此安全模型的 SNMPv3 报文"),
        "bad-flags": ("its flags contradict each other", "安全标志自相矛盾"),
        "downgraded": ("it is less protected than the user requires", "安全级别低于该用户的要求"),
        "wrong-engine": ("it comes from another engine", "引擎标识不符"),
        "wrong-user": ("it names another user", "用户名不符"),
        "wrong-digest": ("its digest is wrong", "认证码不符"),
        "replayed": ("it is too old: recorded and sent again", "超出时间窗口，属过期或重放报文"),
        "unexpected-kind": ("it is neither a response nor a report", "既不是应答也不是报告"),
        "unproved-report": ("it is a report that needs authentication and has none", "须认证的报告未经认证"),
        "unasked-report": ("it is a report without a cause", "没有缘由的报告"),
        "garbled": ("it does not decrypt to a message", "解密后不是合法报文"),
    }
)

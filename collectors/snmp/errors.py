"""What can go wrong between us and an agent.

ZhishouError
├── BerError (InputError)          the bytes are not a well-formed SNMP message
│   ├── TruncatedError             a length points behind the end
│   ├── WrongTagError              another type stands where one is required
│   ├── OversizeError              longer or larger than SNMP allows
│   ├── IndefiniteLengthError      BER form that SNMP forbids
│   └── TrailingDataError          bytes are left over inside an element or behind the message
└── SnmpError (UnreachableError)   an exchange with an agent failed
    ├── NoAnswerError              silence
    ├── RefusedError               ICMP port unreachable
    ├── NetworkError               no route, unknown host
    ├── MalformedReplyError        an answer that is not SNMP
    ├── AuthError                  v3: wrong user, key or engine, or an answer that fails verification
    ├── LoopError                  the agent's OIDs do not increase
    ├── BudgetError                more rows or time than one poll may take
    └── AgentError                 error-status of a response (tooBig, noSuchName, genErr ...)

`code` is stable (PollError.code).
"""

from __future__ import annotations

from collectors.interface import PollError
from monitor.errors import InputError, UnreachableError


class BerError(InputError):
    """The bytes are not a well-formed SNMP message."""

    code = "malformed"


class TruncatedError(BerError):
    """A length points behind the end of its container."""

    code = "truncated"


class WrongTagError(BerError):
    """Another type stands where one is required."""


class OversizeError(BerError):
    """Longer or larger than SNMP allows."""


class IndefiniteLengthError(BerError):
    """The indefinite length form, forbidden by RFC 3417 section 8."""


class TrailingDataError(BerError):
    """Bytes are left over inside an element or behind the message."""


class SnmpError(UnreachableError):
    """An exchange with an agent failed."""

    code = "unreachable"

    def poll_error(self) -> PollError:
        """For PollResult.errors."""
        return PollError(self.code, str(self), self.zh)


class NoAnswerError(SnmpError):
    """No answer within all attempts. In v1 and v2c a wrong community looks exactly like this."""

    code = "timeout"

    def __init__(self, where: str, *, v3: bool = False) -> None:
        secret, secret_zh = ("privacy password", "加密口令") if v3 else ("community", "团体名")
        super().__init__(
            "no answer",
            where=where,
            hint=f"one of address, port, {secret} or access list is wrong, or the device is down",
            zh=f"设备无响应（{where}）：地址、端口、{secret_zh}或访问控制之一不符，或设备已停机",
        )


class RefusedError(SnmpError):
    """ICMP port unreachable: the host is up and no agent listens."""

    code = "refused"

    def __init__(self, where: str) -> None:
        super().__init__(
            "port unreachable",
            where=where,
            hint="the host is up but no SNMP agent listens there; enable it or correct the port",
            zh=f"端口不可达（{where}）：主机在线，但该端口没有 SNMP 服务，请启用 SNMP 或更正端口",
        )


class NetworkError(SnmpError):
    """No route, unknown host, or another error of the local network stack."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"cannot send: {reason}",
            where=where,
            hint="check the address and the route to it",
            zh=f"无法发送（{where}）：{reason}，请检查地址与路由",
        )


class MalformedReplyError(SnmpError):
    """Only answers that are not well-formed SNMP arrived. `code` is that of the BerError."""

    def __init__(self, where: str, cause: BerError) -> None:
        super().__init__(
            f"malformed answer: {cause.message}",
            where=where,
            hint="something else listens on this port, or the agent is defective",
            zh=f"应答报文不是合法的 SNMP（{where}）：{cause.message}；该端口可能是其他服务，或设备代理有缺陷",
        )
        self.code = cause.code


class AuthError(SnmpError):
    """SNMPv3: unknown user, wrong key, unsupported level, or an answer whose HMAC is wrong."""

    code = "auth"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"SNMPv3 authentication failed: {reason}",
            where=where,
            hint="check user, authentication and privacy protocols and passwords",
            zh=f"SNMPv3 认证失败（{where}）：{reason}；请核对用户名、认证与加密协议及口令",
        )


class LoopError(SnmpError):
    """The agent answered an OID that is not greater than the one asked from."""

    code = "not-increasing"

    def __init__(self, where: str, oid: str) -> None:
        super().__init__(
            f"OID {oid} does not increase; the walk of this table was stopped",
            where=where,
            hint="defect of the device's agent; values read so far are kept",
            zh=f"设备返回的 OID 不递增（{oid}），已停止读取该表（{where}）；属设备代理缺陷，已读到的数据保留",
        )


class BudgetError(SnmpError):
    """The walk took more varbinds or time than one poll may."""

    code = "budget"

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"stopped after {what}",
            where=where,
            hint="values read so far are kept",
            zh=f"读取超出单次轮询上限（{what}），已停止（{where}）；已读到的数据保留",
        )


class EmptyBulkError(SnmpError):
    """The agent answers without error and without a single varbind."""

    code = "empty"

    def __init__(self, where: str) -> None:
        super().__init__(
            "empty answer",
            where=where,
            hint="defect of the device's agent; the walk of this table was stopped",
            zh=f"设备返回空应答（{where}）；属设备代理缺陷，已停止读取该表",
        )


STATUS_NAMES = (
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
)


class AgentError(SnmpError):
    """The agent answered with an error-status; `code` is its name in RFC 3416."""

    def __init__(self, where: str, status: int, what: str = "") -> None:
        name = STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"error-status {status}"
        of = f" for {what}" if what else ""
        super().__init__(
            f"the agent answered {name}{of}",
            where=where,
            hint="the object is not available from this agent or view",
            zh=f"设备代理返回错误 {name}（{where}{' ' + what if what else ''}）",
        )
        self.code = name
        self.status = status

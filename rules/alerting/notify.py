"""Tells people: routes the outbox to channels and delivers what is due, a channel's failure retried later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from importlib.metadata import entry_points
from threading import Lock

import structlog

from monitor.clock import Clock, to_datetime
from monitor.model import Severity
from monitor.settings import Settings
from rules.alerting.errors import ChannelError
from rules.alerting.interface import AlertView, Channel, Notification
from rules.alerting.ledger import Claim, Ledger

_log = structlog.get_logger(__name__)

_CHINA = timezone(timedelta(hours=8))
_WORKERS = 4
_SEVERITY = {
    "zh": {"critical": "紧急", "major": "重要", "minor": "次要", "info": "提示"},
    "en": {severity.value: severity.value.capitalize() for severity in Severity},
}
_EVENT = {
    "zh": {"fired": "告警", "resolved": "恢复", "escalated": "上报"},
    "en": {"fired": "FIRING", "resolved": "RESOLVED", "escalated": "ESCALATED"},
}


def load_channels(settings: Settings) -> list[Channel]:
    """Every installed channel that is configured; one that fails to build is reported and left out."""
    channels: list[Channel] = []
    for entry in sorted(entry_points(group="zhishou.channels"), key=lambda e: e.name):
        try:
            channel: Channel | None = entry.load()(settings)
        except Exception as error:  # noqa: BLE001 - a third party's channel must not stop the others
            _log.error("channel not available", channel=entry.name, error=str(error))
            continue
        if channel is not None:
            channels.append(channel)
    return channels


def compose(claim: Claim, locale: str) -> Notification:
    """The words of a message, in Chinese or English."""
    alert = claim.alert
    language = "en" if locale == "en" else "zh"
    suffix = "_en" if language == "en" else ""
    summary = alert.annotations.get(f"summary{suffix}") or alert.annotations.get("summary") or alert.name
    title = f"[{_EVENT[language][claim.event]}][{_SEVERITY[language][alert.severity]}] {summary}"
    return Notification(
        key=claim.key,
        event=claim.event,
        alert=alert,
        receiver=claim.receiver,
        title=" ".join(title.split()),
        body=_body(claim, alert, language, suffix),
        extra={"note": claim.note} if claim.note else {},
    )


def _body(claim: Claim, alert: AlertView, language: str, suffix: str) -> str:
    description = alert.annotations.get(f"description{suffix}") or alert.annotations.get("description", "")
    zh = language == "zh"
    pairs = [
        ("编号" if zh else "Number", alert.number),
        ("级别" if zh else "Severity", _SEVERITY[language][alert.severity]),
        ("机构" if zh else "Site", alert.site),
        ("设备" if zh else "Device", alert.device),
        ("开始" if zh else "Since", _time(alert.active_at)),
        ("恢复" if zh else "Resolved", _time(alert.resolved_at) if alert.resolved_at else ""),
        ("说明" if zh else "Note", claim.note),
        ("影响告警数" if zh else "Explains", str(alert.suppressed) if alert.suppressed else ""),
    ]
    lines = [description, ""] if description else []
    lines += [f"{name}：{text}" if zh else f"{name}: {text}" for name, text in pairs if text]
    return "\n".join(lines)


def _time(ms: int) -> str:
    return to_datetime(ms).astimezone(_CHINA).strftime("%Y-%m-%d %H:%M:%S")


class Notifier:
    """Runs once a second. Two notifiers on one database never send the same message twice."""

    def __init__(
        self, ledger: Ledger, channels: Sequence[Channel], clock: Clock, *, locale: str = "zh"
    ) -> None:
        self._ledger = ledger
        self._channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        self._clock = clock
        self._locale = locale
        self._running = Lock()

    @property
    def receivers(self) -> list[str]:
        """Names of the configured channels."""
        return sorted(self._channels)

    def run(self) -> int:
        """Deliver what is due; returns how many messages were accepted. A second call meanwhile does nothing."""
        if not self._running.acquire(blocking=False):
            return 0
        try:
            self._ledger.route(self.receivers, self._clock.now_ms())
            claims = self._ledger.claim(self._clock.now_ms())
            if not claims:
                return 0
            with ThreadPoolExecutor(_WORKERS, thread_name_prefix="notify") as pool:
                return sum(pool.map(self._deliver, claims))
        finally:
            self._running.release()

    def _deliver(self, claim: Claim) -> bool:
        channel = self._channels.get(claim.channel)
        if channel is None:
            self._fail(claim, "the channel is no longer configured", retryable=False)
            return False
        try:
            channel.send(compose(claim, self._locale))
        except ChannelError as error:
            self._fail(claim, str(error), retryable=error.retryable)
            return False
        except Exception as error:  # noqa: BLE001 - a channel's fault must not lose the message
            self._fail(claim, f"{type(error).__name__}: {error}", retryable=True)
            return False
        self._ledger.sent(claim, self._clock.now_ms())
        return True

    def _fail(self, claim: Claim, reason: str, *, retryable: bool) -> None:
        _log.warning(
            "not delivered", channel=claim.channel, key=claim.key, attempt=claim.attempts, error=reason
        )
        self._ledger.failed(claim, self._clock.now_ms(), reason, retryable=retryable)

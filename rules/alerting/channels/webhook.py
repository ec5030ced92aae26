"""POSTs Alertmanager's webhook JSON (version 4), signed when a secret is set.

`X-Zhishou-Signature: sha256=<hex>` is HMAC-SHA256 over `<X-Zhishou-Timestamp>.<body>`; `Idempotency-Key` is the
ledger's key, so a receiver can drop the rare repeat after a crash. TLS is always verified; redirects are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from monitor.clock import Clock, SystemClock, to_datetime
from monitor.errors import InputError
from monitor.settings import Settings
from rules.alerting.errors import ChannelError
from rules.alerting.interface import Notification

_TIMEOUT_S = 10.0
_ZERO_TIME = "0001-01-01T00:00:00Z"
_RETRYABLE = frozenset({408, 425, 429})


def build(settings: Settings) -> WebhookChannel | None:
    """The channel, or None when no address is set. Raises InputError on a bad address."""
    if not settings.webhook_url:
        return None
    parts = urlsplit(settings.webhook_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError("webhook_url is not an http(s) address", where="webhook_url")
    return WebhookChannel(parts, settings.webhook_secret.encode())


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """One receiver of signed JSON."""

    url: SplitResult
    secret: bytes
    clock: Clock = field(default_factory=SystemClock)
    timeout: float = _TIMEOUT_S
    name: str = "webhook"

    def send(self, notification: Notification) -> None:
        """Deliver; raises ChannelError: retryable unless the far side said 4xx."""
        body = json.dumps(payload(notification), ensure_ascii=False, separators=(",", ":")).encode()
        stamp = str(self.clock.now_ms() // 1000)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "zhishou",
            "Idempotency-Key": notification.key,
            "X-Zhishou-Timestamp": stamp,
        }
        if self.secret:
            headers["X-Zhishou-Signature"] = "sha256=" + sign(self.secret, stamp, body)
        self._post(body, headers)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        target = (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")
        connection = self._connect()
        try:
            connection.request("POST", target, body, dict(headers))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise ChannelError(f"no answer: {error}", retryable=True, where=str(self.url.hostname)) from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            retryable = status >= 500 or status in _RETRYABLE
            raise ChannelError(f"answered HTTP {status}", retryable=retryable, where=str(self.url.hostname))

    def _connect(self) -> http.client.HTTPConnection:
        host = str(self.url.hostname)
        if self.url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, self.url.port, timeout=self.timeout, context=context)
        return http.client.HTTPConnection(host, self.url.port, timeout=self.timeout)


def sign(secret: bytes, stamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over `<stamp>.<body>`."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(notification: Notification) -> dict[str, object]:
    """Alertmanager's webhook body for one alert, with our words beside it under `zhishou`."""
    alert = notification.alert
    status = "resolved" if notification.event == "resolved" else "firing"
    labels, annotations = dict(alert.labels), dict(alert.annotations)
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alert.name}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": notification.receiver or "webhook",
        "groupLabels": {"alertname": alert.name},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": rfc3339(alert.fired_at or alert.active_at),
                "endsAt": rfc3339(alert.resolved_at) if alert.resolved_at else _ZERO_TIME,
                "generatorURL": "",
                "fingerprint": hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()[:16],
            }
        ],
        "zhishou": {
            "key": notification.key,
            "event": notification.event,
            "number": alert.number,
            "severity": alert.severity.value,
            "title": notification.title,
            "body": notification.body,
            "suppressed": alert.suppressed,
            **notification.extra,
        },
    }


def rfc3339(ms: int) -> str:
    """UTC with milliseconds, e.g. 2026-11-21T12:00:00.000Z."""
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Mail through an SMTP server: UTF-8, Message-ID made from the ledger's key, so a repeat is recognisable.

`smtp://` uses STARTTLS when the server offers it (and insists on it before it logs in), `smtps://` TLS from the
first byte; certificates are always verified.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from monitor.clock import Clock, SystemClock, to_datetime
from monitor.errors import InputError
from monitor.settings import Settings
from rules.alerting.errors import ChannelError
from rules.alerting.interface import Notification

_TIMEOUT_S = 15.0


def build(settings: Settings) -> SmtpChannel | None:
    """The channel, or None when no server is set. Raises InputError when the setting is incomplete."""
    if not settings.smtp_url:
        return None
    parts = urlsplit(settings.smtp_url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise InputError("smtp_url is not an smtp:// or smtps:// address", where="smtp_url")
    receivers = tuple(item.strip() for item in settings.smtp_to.split(",") if item.strip())
    if not receivers or not settings.smtp_from:
        raise InputError("mail needs smtp_from and smtp_to", where="smtp_to")
    return SmtpChannel(parts, settings.smtp_from, receivers)


@dataclass(frozen=True, slots=True)
class SmtpChannel:
    """One mail server and its receivers; an escalation to an address goes there too."""

    url: SplitResult
    sender: str
    receivers: tuple[str, ...]
    clock: Clock = field(default_factory=SystemClock)
    timeout: float = _TIMEOUT_S
    name: str = "smtp"

    def send(self, notification: Notification) -> None:
        """Deliver; raises ChannelError: a 5xx of the server is final, everything else is worth another try."""
        message = self.message(notification)
        try:
            with self._connect() as server:
                self._login(server)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            final = all(code >= 500 for code, _ in error.recipients.values())
            raise self._error("every receiver was refused", retryable=not final) from error
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
            retryable = error.smtp_code < 500
            raise self._error(f"server answered {error.smtp_code} {text}", retryable=retryable) from error
        except (smtplib.SMTPException, OSError) as error:
            raise self._error(f"no delivery: {error}", retryable=True) from error

    def message(self, notification: Notification) -> EmailMessage:
        """The mail: plain text, UTF-8."""
        message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
        extra = (notification.receiver,) if "@" in notification.receiver else ()
        message["From"] = self.sender
        message["To"] = ", ".join(dict.fromkeys((*self.receivers, *extra)))
        message["Subject"] = notification.title
        message["Date"] = format_datetime(to_datetime(self.clock.now_ms()))
        message["Message-ID"] = message_id(notification.key)
        first = notification.key.partition(":")[0]
        if notification.event != "fired":
            message["References"] = f"<{first}@zhishou>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notification.body, charset="utf-8", cte="base64")
        return message

    def _connect(self) -> smtplib.SMTP:
        host = str(self.url.hostname)
        if self.url.scheme == "smtps":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, self.url.port or 465, timeout=self.timeout, context=context)
        return smtplib.SMTP(host, self.url.port or 25, timeout=self.timeout)

    def _login(self, server: smtplib.SMTP) -> None:
        server.ehlo()
        if self.url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        elif self.url.scheme == "smtp" and self.url.username:
            raise self._error("the server offers no STARTTLS, the password was not sent", retryable=False)
        if self.url.username:
            server.login(unquote(self.url.username), unquote(self.url.password or ""))

    def _error(self, message: str, *, retryable: bool) -> ChannelError:
        return ChannelError(message, retryable=retryable, where=str(self.url.hostname))


def message_id(key: str) -> str:
    """A stable Message-ID for a ledger key."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@zhishou>"

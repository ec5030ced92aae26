"""The channels against real local servers."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from monitor.errors import InputError
from monitor.model import Severity
from monitor.settings import Settings
from rules.alerting.channels import smtp, webhook
from rules.alerting.errors import ChannelError
from rules.alerting.interface import AlertState, AlertView, Notification
from rules.alerting.ledger import BACKOFF_S, Ledger
from rules.alerting.notify import Notifier
from tests.rules.alerting.conftest import World

ALERT = AlertView(
    id=1, number="AL-20261121-0001", name="DeviceDown", severity=Severity.CRITICAL, state=AlertState.ACTIVE,
    labels={"alertname": "DeviceDown", "device": "a"}, annotations={"summary": "设备 a 失联"}, site="H1", device="a",
    value=0.0, expression="up == 0", active_at=1_795_262_400_000, fired_at=1_795_262_430_000, resolved_at=None,
)  # fmt: skip
MESSAGE = Notification(
    "AL-20261121-0001:1:fired:x", "fired", ALERT, "", "[告警][紧急] 设备 a 失联", "机构：H1\n请尽快处理"
)


class Hook(HTTPServer):
    """Answers with the given statuses, one a request, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _HookHandler)


class _HookHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((dict(self.headers), body))
        self.send_response(server.statuses.pop(0) if server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _serve(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield from (server for _ in _serve(server))


def _webhook(hook: Hook) -> webhook.WebhookChannel:
    made = webhook.build(
        Settings(webhook_url=f"http://127.0.0.1:{hook.server_port}/in?x=1", webhook_secret="s3")
    )
    assert made is not None
    return made


def test_webhook_body_and_signature(hook: Hook) -> None:
    _webhook(hook).send(MESSAGE)
    headers, body = hook.got[0]
    document = json.loads(body)
    assert (document["version"], document["status"]) == ("4", "firing")
    assert document["alerts"][0]["startsAt"] == "2026-11-21T12:00:30.000Z"
    assert document["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert document["zhishou"]["number"] == "AL-20261121-0001"
    assert "设备".encode() in body, "UTF-8, not escapes"
    expected = webhook.sign(b"s3", headers["X-Zhishou-Timestamp"], body)
    assert headers["X-Zhishou-Signature"] == f"sha256={expected}"
    assert webhook.sign(b"other", headers["X-Zhishou-Timestamp"], body) != expected
    assert headers["Idempotency-Key"] == MESSAGE.key


def test_webhook_that_fails_and_then_accepts(hook: Hook, world: World) -> None:
    hook.statuses = [503, 500]
    tell = Notifier(Ledger(world.database), [_webhook(hook)], world.clock)
    world.down("H1/a")
    assert tell.run() == 0
    world.clock.advance(BACKOFF_S[0])
    assert tell.run() == 0
    world.clock.advance(BACKOFF_S[1])
    assert tell.run() == 1
    assert tell.run() == 0
    assert len(hook.got) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in hook.got}) == 1


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (404, False), (302, False), (429, True), (502, True)]
)
def test_webhook_statuses(hook: Hook, status: int, retryable: bool) -> None:
    hook.statuses = [status]
    with pytest.raises(ChannelError) as caught:
        _webhook(hook).send(MESSAGE)
    assert caught.value.retryable is retryable


def test_webhook_nobody_there_and_no_tls(hook: Hook) -> None:
    port = hook.server_port
    https = webhook.build(Settings(webhook_url=f"https://127.0.0.1:{port}/"))
    assert https is not None
    with pytest.raises(ChannelError) as caught:
        https.send(MESSAGE)
    assert caught.value.retryable
    with pytest.raises(InputError):
        webhook.build(Settings(webhook_url="file:///etc/passwd"))


class Mail(socketserver.ThreadingTCPServer):
    """A small SMTP sink: `reply` is what it answers to a recipient."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.recipients: list[str] = []
        self.reply = "250 ok"
        super().__init__(("127.0.0.1", 0), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Mail)
        self._say("220 sink")
        while line := self.rfile.readline():
            word = line.decode().strip().upper()
            if word.startswith("RCPT"):
                server.recipients.append(line.decode().strip())
                self._say(server.reply)
            elif word == "DATA":
                self._say("354 go")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                server.got.append(b"".join(lines))
                self._say("250 stored")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@pytest.fixture
def mail() -> Iterator[Mail]:
    server = Mail()
    yield from (server for _ in _serve(server))


def _smtp(mail: Mail, login: str = "") -> smtp.SmtpChannel:
    url = f"smtp://{login}127.0.0.1:{mail.server_address[1]}"
    made = smtp.build(
        Settings(smtp_url=url, smtp_from="zhishou@example.org", smtp_to="a@example.org, b@example.org")
    )
    assert made is not None
    return made


def test_mail_arrives_in_chinese_with_a_stable_id(mail: Mail) -> None:
    _smtp(mail).send(MESSAGE)
    _smtp(mail).send(MESSAGE)
    first, second = (message_from_bytes(data) for data in mail.got)
    assert str(make_header(decode_header(first["Subject"]))) == MESSAGE.title
    payload = first.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode("utf-8").strip().splitlines() == MESSAGE.body.splitlines()
    assert first["Message-ID"] == second["Message-ID"] == smtp.message_id(MESSAGE.key)
    assert len(mail.recipients) == 4


def test_mail_refused_for_now_and_for_good(mail: Mail) -> None:
    mail.reply = "451 later"
    with pytest.raises(ChannelError) as caught:
        _smtp(mail).send(MESSAGE)
    assert caught.value.retryable
    mail.reply = "550 unknown"
    with pytest.raises(ChannelError) as caught:
        _smtp(mail).send(MESSAGE)
    assert not caught.value.retryable


def test_a_password_is_never_sent_in_the_clear(mail: Mail) -> None:
    with pytest.raises(ChannelError, match="STARTTLS") as caught:
        _smtp(mail, "user:secret@").send(MESSAGE)
    assert not caught.value.retryable
    assert mail.got == []


def test_mail_settings() -> None:
    assert smtp.build(Settings()) is None
    with pytest.raises(InputError):
        smtp.build(Settings(smtp_url="smtp://h"))
    with pytest.raises(InputError):
        smtp.build(Settings(smtp_url="http://h", smtp_from="a@b", smtp_to="c@d"))

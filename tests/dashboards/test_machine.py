"""The forwarder to the core, against a real server on a Unix socket; health; the live stream."""

from __future__ import annotations

import base64
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards.backend import Backend
from dashboards.live import MAX_STREAMS, Broadcaster
from dashboards.proxy import needed_scope
from dashboards.translations_check import problems, unmarked_in_python, unmarked_in_template
from dashboards.vendor import FILES, sri, vendor
from monitor.model import WHOLE_CITY


class _Core(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = f"{self.command} {self.path} {len(body)} {self.headers.get('Authorization')} {self.headers.get('Cookie')}"
        self.send_response(202)
        self.send_header("X-Core", "yes")
        self.send_header("X-Told", str(self.headers.get("X-Zhishou-Collector")))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def core(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "run").mkdir()
    server = _Server(str(tmp_path / "run" / "core.sock"), _Core)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_scopes_needed() -> None:
    assert needed_scope("POST", "/prometheus/api/v1/write") == "ingest"
    assert needed_scope("POST", "/prometheus/api/v1/import/prometheus") == "ingest"
    assert needed_scope("POST", "/prometheus/api/v1/query") == "read"
    assert needed_scope("POST", "/prometheus/api/v1/query_exemplars") == "read"
    assert needed_scope("GET", "/prometheus/federate") == "read"
    assert needed_scope("GET", "/alertmanager/api/v2/alerts") == "read"
    assert needed_scope("POST", "/alertmanager/api/v2/silences") == "write"
    assert needed_scope("GET", "/api/v1/collectors/c1/assignment") == "ingest"
    assert needed_scope("DELETE", "/prometheus/api/v1/query") == "write"
    assert needed_scope("POST", "/prometheus/api/v1/admin/tsdb/delete_series") == "write"


@pytest.mark.usefixtures("core")
def test_a_token_opens_and_is_not_passed_on(app: Flask, stands_on: Backend) -> None:
    token = stands_on.tokens.create("p", ["read"])
    client = app.test_client()
    client.set_cookie("zs_session", "x")
    for header in (f"Bearer {token}", "Basic " + base64.b64encode(f"any:{token}".encode()).decode()):
        answer = client.get(
            "/prometheus/api/v1/query?query=up%7Ba%3D%22b%22%7D", headers={"Authorization": header}
        )
        assert answer.status_code == 202
        assert answer.text == "GET /prometheus/api/v1/query?query=up%7Ba%3D%22b%22%7D 0 None None"
        assert answer.headers["X-Core"] == "yes"


@pytest.mark.usefixtures("core")
def test_bodies_are_passed_whole_and_wrong_scopes_refused(app: Flask, stands_on: Backend) -> None:
    read = {"Authorization": f"Bearer {stands_on.tokens.create('r', ['read'])}"}
    ingest = {"Authorization": f"Bearer {stands_on.tokens.create('i', ['ingest'])}"}
    client = app.test_client()
    body = b"x" * 300_000
    assert client.post("/prometheus/api/v1/write", data=body, headers=read).status_code == 401
    assert client.post("/prometheus/api/v1/write", data=body, headers=ingest).text.split()[2] == "300000"
    assert client.get("/prometheus/api/v1/query").status_code == 401
    assert client.get("/prometheus/api/v1/query", headers={"Authorization": "Basic ???"}).status_code == 401


class _Waiting(_Core):
    """Answers only when its caller hangs up."""

    hung_up = threading.Event()

    def _answer(self) -> None:
        assert self.connection.recv(1) == b""
        self.hung_up.set()

    do_GET = _answer  # noqa: N815


def test_a_client_that_goes_away_takes_its_request_along(open_app: Flask, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(exist_ok=True)
    ours, client = socket.socketpair()
    with _Server(str(tmp_path / "run" / "core.sock"), _Waiting) as server, ours:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        threading.Timer(0.1, client.close).start()
        answer = open_app.test_client().get(
            "/prometheus/api/v1/query?query=up", environ_overrides={"gunicorn.socket": ours}
        )
        assert answer.status_code == 499
        assert _Waiting.hung_up.wait(5)
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("core")
def test_the_root_of_the_prometheus_api_is_forwarded(open_app: Flask) -> None:
    assert open_app.test_client().get("/prometheus/").text.startswith("GET /prometheus/ ")


@pytest.mark.usefixtures("core")
def test_the_open_loopback_is_for_loopback_programs_only(open_app: Flask) -> None:
    client = open_app.test_client()
    path = "/prometheus/api/v1/query?query=up"
    assert client.get(path).status_code == 202
    assert client.get(path, environ_overrides={"REMOTE_ADDR": "10.0.0.9"}).status_code == 401
    assert client.get(path, headers={"Host": "evil.example"}).status_code == 401
    assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401
    for name, value in (
        ("Origin", "http://evil.example"), ("Origin", "null"), ("Origin", "http://localhost:3000"),
        ("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=10.0.0.9"), ("Via", "1.1 proxy"),
    ):  # fmt: skip
        assert client.get(path, headers={name: value}).status_code == 401, (name, value)
    assert client.get(path, headers={"Origin": "http://localhost"}).status_code == 202
    assert client.get("/sites").status_code == 302


@pytest.mark.usefixtures("core")
def test_an_assignment_is_for_its_own_collector_only(app: Flask, open_app: Flask, stands_on: Backend) -> None:
    path = "/api/v1/collectors/c1/assignment"
    assert open_app.test_client().get(path).status_code == 401
    for scopes, status in (
        (["read", "write"], 401),
        (["ingest:c2"], 401),
        (["ingest:c1"], 202),
        (["ingest"], 202),
    ):
        token = stands_on.tokens.create("-".join(scopes), scopes)
        answer = app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, scopes


@pytest.mark.usefixtures("core")
def test_the_core_is_told_the_collector_by_us_alone(app: Flask, stands_on: Backend) -> None:
    client = app.test_client()
    for scope, told in (("ingest:c1", "c1"), ("ingest", "None")):
        token = stands_on.tokens.create(scope, [scope])
        answer = client.post(
            "/api/v1/ingest/events",
            data=b"x",
            headers={"Authorization": f"Bearer {token}", "X-Zhishou-Collector": "c9"},
        )
        assert answer.headers["X-Told"] == told


@pytest.mark.usefixtures("core")
def test_the_core_sees_the_address_that_was_checked(open_app: Flask) -> None:
    answer = open_app.test_client().get(
        "/prometheus/api/v1/query%3Fa?query=1%2B1",
        environ_overrides={"RAW_URI": "/api/v1/collectors/c1/assignment"},
    )
    assert answer.text.split()[1] == "/prometheus/api/v1/query%3Fa?query=1%2B1"


def test_a_core_that_is_down_is_a_problem(open_app: Flask) -> None:
    answer = open_app.test_client().get("/prometheus/api/v1/query?query=up")
    assert answer.status_code == 502
    assert answer.content_type == "application/problem+json"


def test_health(app: Flask, open_app: Flask, request: pytest.FixtureRequest) -> None:
    assert app.test_client().get("/healthz").status_code == 200
    assert app.test_client().get("/readyz").status_code == 503
    assert app.test_client().get("/metrics").status_code == 401
    assert "zhishou_core_up 0.0" in open_app.test_client().get("/metrics").text
    request.getfixturevalue("core")
    assert app.test_client().get("/readyz").get_json() == {"core": True, "database": True}


def test_a_change_reaches_a_waiting_stream(stands_on: Backend) -> None:
    broadcaster = Broadcaster(stands_on)
    broadcaster.look()
    serial = broadcaster.serial
    broadcaster.look()
    assert broadcaster.wait(serial, 0.01) == serial
    seen: list[int] = []
    waiting = threading.Thread(target=lambda: seen.append(broadcaster.wait(serial, 5)))
    waiting.start()
    stands_on.desk.ack(WHOLE_CITY, [1], "somebody")
    broadcaster.look()
    waiting.join(5)
    assert seen == [serial + 1]


def test_streams_are_counted_and_limited(app: Flask, operator: FlaskClient) -> None:
    broadcaster: Broadcaster = app.extensions["zhishou-live"]
    answer = operator.get("/live", buffered=False)
    assert answer.content_type == "text/event-stream; charset=utf-8"
    assert next(answer.iter_encoded()).startswith(b"retry: 3000\nevent: beat\ndata: ")
    assert broadcaster.streams == 1
    answer.close()
    assert broadcaster.streams == 0
    broadcaster.streams = MAX_STREAMS
    assert operator.get("/live").status_code == 503
    assert set(operator.get("/live/token").get_json()) == {"now", "token"}
    broadcaster.stop()


def test_no_sentence_of_the_console_lacks_english() -> None:
    assert problems() == []


def test_the_check_finds_unmarked_chinese() -> None:
    assert list(unmarked_in_python('x = "值守"\ny = _("值守")\nz = E("bad", zh="坏")')) == [(1, "值守")]
    assert list(unmarked_in_template("<b>值守</b>\n{{ _('值守') }}\n{{ f('总览') }}")) == [
        (1, "<b>值守</b>"),
        (3, "总览"),
    ]


def test_vendored_files_carry_the_digest_of_what_is_served(tmp_path: Path) -> None:
    for name in FILES.values():
        path = tmp_path / "modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    manifest = vendor(tmp_path / "modules", tmp_path / "out")
    assert set(manifest) == set(FILES)
    assert all(manifest[name] == sri((tmp_path / "out" / name).read_bytes()) for name in manifest)
    assert sri(b"") == "sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb"


def test_a_logged_failure_does_not_show_what_was_typed(tmp_path: Path) -> None:
    program = f"""
from dashboards.app import create_app
from dashboards.scope import public
from monitor.settings import Settings
from monitor.state import open_database
settings = Settings(data={str(tmp_path)!r})
open_database(settings).migrate()
app = create_app(settings)
@public
def boom():
    typed = "hidden" + "-word"
    raise RuntimeError("a bug")
app.add_url_rule("/boom", "boom", boom)
assert app.test_client().get("/boom").status_code == 500
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "RuntimeError: a bug" in ran.stderr + ran.stdout
    assert "hidden-word" not in ran.stderr + ran.stdout

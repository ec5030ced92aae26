"""HTTP to the back end: trust, credentials, kept connections, answers that never end."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monitor.metrics.remote.backend import CREDENTIAL, Access, Backend, BackendError, access_of
from monitor.settings import Settings
from tests.real.sshd import free_port


class Server:
    """Answers what it is told to; notes the headers it got."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.body = b"fine"
        self.pause = 0.0
        self.hang_up = False
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                hang_up = outer.hang_up
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.headers.append({name.lower(): text for name, text in self.headers.items()})
                outer.paths.append(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                for at in range(0, len(outer.body), 2) if outer.pause else ():
                    self.wfile.write(outer.body[at : at + 2])
                    time.sleep(outer.pause)
                if not outer.pause:
                    self.wfile.write(outer.body)
                self.close_connection = hang_up

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    """The client went away, which is what is tested."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A failed handshake is what is tested."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backend.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def secret(folder: Path, text: str = "s3cret\n", mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_it_trusts_only_what_it_was_told_to(certificate: Path) -> None:
    server = Server(certificate)
    try:
        with pytest.raises(BackendError, match=r"CERTIFICATE_VERIFY_FAILED") as caught:
            Backend(Access(server.url)).post("/x", b"", {})
        assert server.url in caught.value.zh
        backend = Backend(Access(server.url, ca_file=str(certificate)))
        assert backend.post("/x", b"", {}).status == 200
        backend.close()
        other = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(BackendError, match="ertificate"):
            Backend(Access(other, ca_file=str(certificate))).post("/x", b"", {})
    finally:
        server.stop()


def test_credentials_and_tenant_are_sent(server: Server, tmp_path: Path) -> None:
    path = secret(tmp_path)
    for access in (
        Access(server.url, secret_file=path),
        Access(server.url + "/mimir/", user="zhishou", secret_file=path, tenant="city"),
        Access(server.url),
    ):
        backend = Backend(access)
        backend.post("/api/v1/push", b"x", {})
        backend.close()
    bearer, basic, none = server.headers
    assert bearer["authorization"] == "Bearer s3cret"
    assert basic["authorization"] == "Basic emhpc2hvdTpzM2NyZXQ="
    assert (basic["x-scope-orgid"], server.paths[1]) == ("city", "/mimir/api/v1/push")
    assert "authorization" not in none
    assert "s3cret" not in repr(access_of(Settings(remote_secret_file=path), server.url, 1.0))


def test_a_new_secret_is_used_after_a_refusal(server: Server, tmp_path: Path) -> None:
    backend = Backend(Access(server.url, secret_file=secret(tmp_path, "old")))
    server.status = 401
    backend.post("", b"", {})
    secret(tmp_path, "new")
    server.status = 200
    backend.post("", b"", {})
    backend.close()
    assert [headers["authorization"] for headers in server.headers] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("url", "mode", "reason"),
    [
        ("http://backend.test/write", 0o600, "plain HTTP"),
        ("https://127.0.0.1:9/write", 0o604, "readable by everybody"),
        ("https://user:password@backend.test/write", 0o600, "HOST"),
        ("ftp://backend.test", 0o600, "HOST"),
        ("http://127.0.0.1:port/", 0o600, "[Pp]ort"),
    ],
)
def test_what_would_give_a_secret_away_is_refused(tmp_path: Path, url: str, mode: int, reason: str) -> None:
    backend = Backend(Access(url, secret_file=secret(tmp_path, mode=mode)))
    with pytest.raises(BackendError, match=reason) as caught:
        backend.post("", b"", {})
    assert "s3cret" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_a_missing_secret_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="No such file"):
        Backend(Access("https://127.0.0.1:9", secret_file=str(tmp_path / "none"))).post("", b"", {})


def test_the_systemd_credential_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert access_of(Settings(), "https://b", 1.0).secret_file == ""
    (tmp_path / CREDENTIAL).write_text("token")
    assert access_of(Settings(), "https://b", 1.0).secret_file == str(tmp_path / CREDENTIAL)
    assert access_of(Settings(remote_secret_file="/x"), "https://b", 1.0).secret_file == "/x"


@pytest.mark.parametrize("reopen", [True, False])
def test_a_connection_is_kept_and_its_end_told_only_on_request(server: Server, reopen: bool) -> None:
    backend = Backend(Access(server.url), reopen=reopen)
    backend.post("", b"", {})
    server.hang_up = True
    backend.post("", b"", {})
    assert server.connections == 1
    time.sleep(0.1)
    if reopen:
        backend.post("", b"", {})
    else:
        with pytest.raises(BackendError):
            backend.post("", b"", {})
        backend.post("", b"", {})
    assert server.connections == 2
    backend.close()


def test_an_endless_answer_is_given_up(server: Server) -> None:
    server.body, server.pause = b"x" * 1000, 0.05
    started = time.monotonic()
    with pytest.raises(BackendError, match="takes too long"):
        Backend(Access(server.url, timeout=0.4)).post("", b"", {})
    assert time.monotonic() - started < 3


def test_stop_cuts_what_is_under_way(server: Server) -> None:
    server.body, server.pause = b"x" * 1000, 0.05
    backend = Backend(Access(server.url))
    failures: list[str] = []

    def work() -> None:
        try:
            backend.post("", b"", {})
        except BackendError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    backend.stop()
    thread.join(3)
    assert not thread.is_alive()
    assert len(failures) == 1
    with pytest.raises(BackendError, match="stopped"):
        backend.post("", b"", {})


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}/api/v1/write"
    with pytest.raises(BackendError, match="refused") as caught:
        Backend(Access(url)).post("", b"", {})
    assert caught.value.exit_code == 3
    assert caught.value.where == url

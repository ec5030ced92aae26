"""Password logins, against an SSH server of paramiko's: Debian's sshd would need a system account with a password."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import paramiko
import pytest

from collectors.ssh.hostkeys import fingerprint
from collectors.ssh.session import SshError, connect
from monitor.devices import SshTarget

PASSWORD = "正确-horse"


class Accounts(paramiko.ServerInterface):
    """One account that takes a password, and writes down what was tried."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self.tried.append(password)
        return paramiko.AUTH_SUCCESSFUL if password == PASSWORD else paramiko.AUTH_FAILED


class PasswordServer:
    """Serves logins one after another until closed."""

    def __init__(self) -> None:
        self._key = paramiko.ECDSAKey.generate()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.host_key = fingerprint(self._key.asbytes())
        self.accounts = Accounts()
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.set_log_channel("collectors.ssh.paramiko")
            transport.add_server_key(self._key)
            self._transports.append(transport)
            try:
                transport.start_server(server=self.accounts)
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for transport in self._transports:
            transport.close()


@pytest.fixture
def server() -> Iterator[PasswordServer]:
    made = PasswordServer()
    yield made
    made.close()


def target(server: PasswordServer, password: str, host_key: str) -> SshTarget:
    return SshTarget("127.0.0.1", server.port, "operator", password=password, host_key=host_key, timeout=30)


def test_a_right_password_opens_a_session(server: PasswordServer) -> None:
    session = connect(target(server, PASSWORD, server.host_key))
    assert session.alive
    assert session.host_key == server.host_key
    session.close()


def test_a_wrong_password_is_refused_and_not_told(server: PasswordServer) -> None:
    with pytest.raises(SshError) as caught:
        connect(target(server, "wr0ng-word", server.host_key))
    assert caught.value.code == "auth"
    assert "wr0ng-word" not in f"{caught.value} {caught.value!r} {caught.value.zh}"


def test_no_password_reaches_a_server_with_another_key(server: PasswordServer) -> None:
    with pytest.raises(SshError) as caught:
        connect(target(server, PASSWORD, "SHA256:" + "B" * 43))
    assert caught.value.code == "host-key"
    assert server.accounts.tried == []

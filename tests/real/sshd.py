"""Debian's own sshd on the loopback with its own host key and one authorised key, for tests.

    with LoopbackSshd(tmp_path) as sshd:
        connect(sshd.host, sshd.port, sshd.user, sshd.identity_file, sshd.known_hosts)

Needs /usr/sbin/sshd and ssh-keygen. Logs in as the user who runs the tests; nothing outside `tmp_path` is written
except the empty folder /run/sshd, which sshd insists on when it is started by root.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _keygen(path: Path) -> str:
    """Make an Ed25519 key pair and return its `SHA256:...` fingerprint."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "loopback", "-f", str(path)], check=True
    )
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{path}.pub"], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()[1]


class LoopbackSshd:
    """A running sshd; `options` are extra lines of its configuration."""

    host = "127.0.0.1"

    def __init__(self, tmp_path: Path, *, options: tuple[str, ...] = ()) -> None:
        self.folder = tmp_path / f"sshd-{len(list(tmp_path.glob('sshd-*')))}"
        self.folder.mkdir(parents=True, mode=0o700)
        self.options = options
        self.user = getpass.getuser()
        self.port = free_port()
        self.host_key_fingerprint = _keygen(self.folder / "host_key")
        _keygen(self.folder / "user_key")
        self.identity_file = str(self.folder / "user_key")
        self.known_hosts = str(self.folder / "known_hosts")
        self.log = self.folder / "sshd.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def private_key(self) -> str:
        """The authorised private key as text."""
        return Path(self.identity_file).read_text("ascii")

    def start(self) -> None:
        """Start sshd and wait until it listens (at most five seconds)."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._write_files()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 5
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start: {self.log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop sshd; sessions that are open end with it."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        sessions = [int(pid) for pid in children.read_text("ascii").split()] if children.exists() else []
        self._process.terminate()
        self._process.wait(5)
        self._process = None
        for pid in sessions:
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                continue

    def _write_files(self) -> None:
        kind, blob = (self.folder / "host_key.pub").read_text("ascii").split()[:2]
        Path(self.known_hosts).write_text(f"[{self.host}]:{self.port} {kind} {blob}\n", "ascii")
        (self.folder / "authorized_keys").write_text(
            (self.folder / "user_key.pub").read_text("ascii"), "ascii"
        )
        lines = (
            f"ListenAddress {self.host}:{self.port}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "MaxStartups 100",
            *self.options,
            "Subsystem sftp internal-sftp",
        )
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n", "utf-8")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            try:
                probe.connect((self.host, self.port))
                return probe.recv(4) == b"SSH-"
            except OSError:
                return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

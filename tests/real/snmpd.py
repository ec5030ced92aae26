"""Debian's own snmpd (net-snmp) on the loopback, for tests.

    with LoopbackSnmpd(tmp_path, community="public") as snmpd:
        poll(snmpd.host, snmpd.port, "public")

`user`, `auth` ("SHA:password") and `priv` ("AES:password") add an SNMPv3 user. `start()` and `stop()` restart the
agent on the same port, which is what a reboot of a device looks like.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.real.sshd import free_port

# GetRequest v1 for sysUpTime.0 with an empty community slot: header, community, PDU.
_PDU = bytes.fromhex("a01c020401020304020100020100300e300c06082b060102010103000500")


class LoopbackSnmpd:
    """A running snmpd answering v1/v2c for `community` (read-only) and v3 for `user` when given."""

    host = "127.0.0.1"

    def __init__(
        self,
        tmp_path: Path,
        *,
        community: str = "public",
        user: str = "",
        auth: str = "",
        priv: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = tmp_path / f"snmpd-{len(list(tmp_path.glob('snmpd-*')))}"
        self.folder.mkdir(parents=True, mode=0o700)
        self.community = community
        self.user = user
        self.auth = auth
        self.priv = priv
        self.options = options
        self.port = free_port(socket.SOCK_DGRAM)
        self.log = self.folder / "snmpd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start snmpd and wait until it answers (at most ten seconds)."""
        self._write_config()
        environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(self.folder / "persistent"), "MIBS": ""}
        address = f"udp:{self.host}:{self.port}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/snmpd", "-f", "-Lo", "-C", "-c", str(self.folder / "snmpd.conf"), address],
                stdout=log,
                stderr=log,
                env=environment,
            )
        deadline = time.monotonic() + 10
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"snmpd did not start: {self.log.read_text('utf-8', 'replace')}")

    def stop(self) -> None:
        """Stop snmpd; its SNMPv3 engine id and boots stay in the folder."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)
            self._process = None

    def _write_config(self) -> None:
        lines = [
            f"rocommunity {self.community} 127.0.0.1",
            "sysLocation loopback",
            "sysContact tests",
            "sysName loopback-snmpd",
            "agentXSocket " + str(self.folder / "agentx"),
            *self.options,
        ]
        if self.user:
            auth_kind, _, auth_password = self.auth.partition(":")
            priv_kind, _, priv_password = self.priv.partition(":")
            words = ["createUser", self.user, auth_kind, auth_password, priv_kind, priv_password]
            lines.append(" ".join(word for word in words if word))
            lines.append(
                f"rouser {self.user} {'authpriv' if self.priv else 'authnopriv' if self.auth else 'noauth'}"
            )
        (self.folder / "snmpd.conf").write_text("\n".join(lines) + "\n", "utf-8")

    def _answers(self) -> bool:
        community = self.community.encode()
        body = b"\x02\x01\x00\x04" + bytes([len(community)]) + community + _PDU
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.1)
            try:
                probe.connect((self.host, self.port))
                request = b"\x30" + bytes([len(body)]) + body
                probe.send(request)
                # Before snmpd has its port, the kernel may give it to the probe, which then hears itself.
                return probe.recv(1500) != request
            except OSError:
                return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

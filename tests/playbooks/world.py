"""A small city on the loopback, its engagements, and planted services that count who calls."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from monitor.clock import to_datetime
from monitor.model import (
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Scope,
    Site,
    SiteId,
)
from playbooks.office import SqlOffice

NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z, a Saturday
HOUR = 3_600_000
H012, H031 = SiteId("H012"), SiteId("H031")
CITY = Scope(None)
AT_H012, AT_H031 = Scope(frozenset({H012})), Scope(frozenset({H031}))


def site(identifier: SiteId) -> Site:
    return Site(identifier, str(identifier), RegionId("city"), Grade.SECONDARY, 2, CollectorId("c1"))


def device(identifier: str, address: str, **changes: object) -> Device:
    plain = Device(DeviceId(identifier), H012, identifier, Kind.SERVER, address)
    return replace(plain, **changes)  # type: ignore[arg-type]


def inventory(*devices: Device) -> Inventory:
    return Inventory(
        "city",
        {RegionId("city"): Region(RegionId("city"), "city")},
        {H012: site(H012), H031: site(H031)},
        {d.id: d for d in devices},
    )


def engagement(**changes: object) -> str:
    """A valid engagement as YAML; a change of None leaves the key out."""
    text: dict[str, object] = {
        "engagement": "E-07",
        "kind": "crosscheck",
        "requester": {"user": "a", "site": "H031"},
        "approvers": [{"user": "b", "site": "H012"}, {"user": "c", "site": "city"}],
        "authorisation": {"document_sha256": "ab" * 32, "window": window()},
        "scope": {"include": ["site:H012"]},
        "limits": {"pps": 2000, "per_host_pps": 200, "concurrent_hosts": 8, "max_packets": 10_000},
        "suite": ["planted"],
    }
    text.update(changes)
    return yaml.safe_dump({k: v for k, v in text.items() if v is not None}, allow_unicode=True)


def window(begin: int = NOON - HOUR, end: int = NOON + HOUR, **more: object) -> dict[str, object]:
    return {"from": to_datetime(begin).isoformat(), "to": to_datetime(end).isoformat(), **more}


def check(
    identifier: str, port: int, *, protocol: str = "tcp", safety: str = "safe", **exchange: object
) -> str:
    """A check as YAML: by default it finds a Redis that answers PING."""
    block: dict[str, object] = {"port": port, "matchers": [{"type": "word", "words": ["+PONG"]}]}
    if protocol == "tcp" and not exchange:
        block["inputs"] = [{"data": "PING\r\n"}]
        block["service"] = [{"type": "regex", "regex": ["^[+-]"]}]
    block.update(exchange)
    block = {k.replace("_", "-") if k == "read_size" else k: v for k, v in block.items() if v is not None}
    return yaml.safe_dump(
        {
            "id": identifier,
            "kind": "check",
            "info": {
                "name": identifier,
                "author": ["test"],
                "severity": "critical",
                "description": "d",
                "remediation": "r",
                "classification": {"cve-id": None, "mlps": []},
                "metadata": {"max-request": 4},
            },
            "safety": safety,
            protocol: [block],
            "evidence": {"keep": ["response-256"]},
            "tests": [{"given": "+PONG", "expect": "finding"}, {"given": "-NO", "expect": "pass"}],
        }
    )


def plant_suite(folder: Path, checks: Mapping[str, str], suite: str = "planted") -> None:
    """Put checks and a suite of them into the data folder."""
    for part in ("checks", "suites"):
        (folder / "playbooks" / part).mkdir(parents=True, exist_ok=True)
    for name, text in checks.items():
        (folder / "playbooks" / "checks" / f"{name}.yml").write_text(text, "utf-8")
    text = yaml.safe_dump({"suite": suite, "name": suite, "checks": list(checks)})
    (folder / "playbooks" / "suites" / f"{suite}.yml").write_text(text, "utf-8")


def approve_all(office: SqlOffice, identifier: str = "E-07") -> str:
    """Both signatures; returns the digest."""
    digest = office.plan(CITY, identifier).digest
    office.approve(AT_H012, identifier, "b", "H012", digest)
    office.approve(CITY, identifier, "c", "city", digest)
    return digest


class Listener:
    """A TCP service on the loopback; `connections` counts everybody who came, `reply` is what it says to data."""

    def __init__(
        self, host: str, *, greeting: bytes = b"", reply: bytes = b"", port: int = 0, delay: float = 0
    ) -> None:
        self._socket = socket.create_server((host, port), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.greeting, self.reply, self.delay = greeting, reply, delay
        self.connections = 0
        self.received: list[bytes] = []
        self._closing = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(5)
            if self.greeting:
                client.sendall(self.greeting)
            while data := client.recv(4096):
                self.received.append(data)
                self._closing.wait(self.delay)
                if self.reply:
                    client.sendall(self.reply)

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)


@contextlib.contextmanager
def listening(*listeners: Listener) -> Iterator[tuple[Listener, ...]]:
    try:
        yield listeners
    finally:
        for one in listeners:
            one.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until something is so."""
    over = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        over.wait(0.02)
    return condition()

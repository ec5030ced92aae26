"""Only gate.py opens sockets and only capture.py imports scapy: everything else in the room cannot send a packet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import playbooks

ROOM = Path(str(playbooks.__file__)).parent
MODULES = sorted(path for path in ROOM.rglob("*.py") if "migrations" not in path.parts)
NETWORKING = {
    "socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "paramiko", "pysnmp", "subprocess",
    "multiprocessing", "ctypes", "ftplib", "smtplib", "telnetlib", "imaplib", "poplib", "xmlrpc", "selectors",
    "socketserver", "scapy", "collectors", "anyio", "trio", "os.system",
}  # fmt: skip
OPENERS = {
    "open_connection", "create_connection", "create_datagram_endpoint", "open_unix_connection", "sock_connect",
    "sock_sendto", "create_server", "start_server", "create_subprocess_exec", "create_subprocess_shell", "system",
    "popen", "execv", "spawnv", "getaddrinfo", "start_tls", "wrap_socket", "subprocess_exec", "subprocess_shell",
}  # fmt: skip
ALLOWED = {"gate.py": {"socket", "ssl"}, "capture.py": {"scapy"}}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "import_module",
            "__import__",
        ):
            argument = node.args[0]
            yield str(argument.value) if isinstance(argument, ast.Constant) else "a computed name"


def offences(source: str, name: str) -> list[str]:
    tree = ast.parse(source)
    roots = {module.split(".")[0] for module in imported(tree)}
    found = sorted((roots & NETWORKING) - ALLOWED.get(name, set()))
    if name != "gate.py":
        found += sorted(
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in OPENERS
        )
    if "a computed name" in imported(tree):
        found.append("computed import")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOM)))
def test_no_module_but_the_gate_can_open_a_socket(path: Path) -> None:
    assert offences(path.read_text("utf-8"), path.name if path.parent == ROOM else str(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "from ssl import create_default_context",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('h', 1)",
        "def f(loop):\n    return loop.create_datagram_endpoint",
        "import urllib.request",
        "from scapy.sendrecv import sr1",
        "import importlib\nimportlib.import_module('socket')",
        "import importlib\nimportlib.import_module('sock' + 'et')",
        "import os\nos.system('nc')",
    ],
)
def test_the_rule_itself_finds_offenders(source: str) -> None:
    assert offences(source, "steps/evil.py")


def test_the_gate_is_really_where_the_sockets_are() -> None:
    tree = ast.parse((ROOM / "gate.py").read_text("utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & OPENERS
    assert {"open_connection", "create_datagram_endpoint", "getaddrinfo"} <= used


def test_every_step_is_reachable_only_through_its_door() -> None:
    for path in sorted((ROOM / "steps").glob("*.py")):
        text = path.read_text("utf-8")
        assert "Gate(" not in text, path
        assert "HostDoor" not in text, path


def test_every_shipped_protocol_has_a_check_and_its_tests() -> None:
    from playbooks.loader import Library
    from playbooks.steps.interface import installed_steps

    steps = installed_steps()
    assert {check.protocol for check in Library(steps).checks.values()} == set(steps)

"""The others: Debian's snmp_exporter, net-snmp's command-line tools, pysnmp. Each polls the same 248 values.

The exporter is charged for writing its exposition. Of net-snmp the CPU time of the tools is counted, which is what
whoever polls with them pays: three a poll (snmpget of the scalars, snmpbulkwalk of the two tables), without MIBs.
pysnmp polls as many devices at the same time as there are, with the widest requests it can.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bench.agents import COLUMNS, COMMUNITY, INTERFACES, SCALARS, VALUES
from tests.bench.measure import per_cpu_second
from tests.bench.processes import Child
from tests.bench.snmp.workload import EMITTED, NUMBERS, SECRET, USER, exporter_module
from tests.real.sshd import free_port

EXPORTER: Final = "prometheus-snmp-exporter"
NET_SNMP: Final = "net-snmp tools"
PYSNMP: Final = "pysnmp asyncio"
V2C_AUTH: Final[dict[str, object]] = {"version": 2, "auth": {"community": COMMUNITY}}
V3_AUTH: Final[dict[str, object]] = {
    "version": 3,
    "auth": {
        "username": USER, "security_level": "authPriv", "password": SECRET, "auth_protocol": "SHA",
        "priv_protocol": "AES", "priv_password": SECRET,
    },
}  # fmt: skip
_TABLES: Final = ("1.3.6.1.2.1.2.2", "1.3.6.1.2.1.31.1.1")
_TOOLS: Final = ("snmpget", "snmpbulkwalk")

Side = Callable[[], float]


def installed() -> list[str]:
    """Which of the others there are."""
    found = [EXPORTER] if shutil.which(EXPORTER) else []
    return [*found, *([NET_SNMP] if all(map(shutil.which, _TOOLS)) else []), PYSNMP]


def exporter(
    stack: ExitStack, folder: Path, auth: dict[str, object], where: Sequence[str], port: int, polls: int
) -> Side:
    """Polls per CPU second of the exporter, on one thread as we are."""
    name, listen = f"exporter-{port}", f"127.0.0.1:{free_port()}"
    config = folder / f"{name}.yml"
    config.write_text(yaml.safe_dump({"bench": {**exporter_module(), **auth}}), "utf-8")
    argv = [EXPORTER, f"--config.file={config}", f"--web.listen-address={listen}", "--log.level=error"]
    child = stack.enter_context(Child(argv, folder / f"{name}.log", {"GOMAXPROCS": "1"}))
    child.wait_for(f"http://{listen}/config")

    def poll() -> None:
        for address in islice(cycle(where), polls):
            url = f"http://{listen}/snmp?module=bench&target={address}:{port}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                lines = answer.read().decode().splitlines()
            count = sum(not line.startswith(("#", "snmp_")) for line in lines)
            if count != EMITTED + len(SCALARS) - len(NUMBERS):
                raise RuntimeError(f"{EXPORTER} gave {count} values: {lines[:5]}")

    return lambda: per_cpu_second(polls, child.pid, poll)


def net_snmp(where: Sequence[str], port: int, polls: int) -> Side:
    """Polls per CPU second of the command-line tools."""
    environment = {**os.environ, "MIBS": "", "MIBDIRS": "", "SNMPCONFPATH": "/nonexistent"}

    def lines(tool: str, address: str, *words: str) -> int:
        argv = [tool, "-v2c", "-c", COMMUNITY, "-On", "-t5", *words[:-1], f"{address}:{port}"]
        done = subprocess.run(
            [*argv, *words[-1].split()],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return sum("No more variables" not in line for line in done.stdout.splitlines())

    def poll() -> float:
        before = _children()
        for address in islice(cycle(where), polls):
            found = lines("snmpget", address, " ".join(SCALARS.values()))
            found += sum(lines("snmpbulkwalk", address, "-Cr50", table) for table in _TABLES)
            if found != VALUES:
                raise RuntimeError(f"{NET_SNMP} gave {found} values of {VALUES}")
        return polls / (_children() - before)

    return poll


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pysnmp(where: Sequence[str], port: int, polls: int) -> Side:
    """Polls per CPU second of pysnmp; of this process."""
    import pysnmp.hlapi.v3arch.asyncio as hlapi  # here, for it warns and costs a second

    targets = list(islice(cycle(where), polls))
    return lambda: per_cpu_second(polls, 0, lambda: asyncio.run(_poll_all(hlapi, targets, port)))


async def _poll_all(hlapi: Any, targets: Sequence[str], port: int) -> None:
    engine = hlapi.SnmpEngine()
    try:
        counts = await asyncio.gather(*[_poll_one(hlapi, engine, address, port) for address in targets])
    finally:
        engine.close_dispatcher()
    if set(counts) != {VALUES}:
        raise RuntimeError(f"pysnmp gave {counts} values of {VALUES}")


async def _poll_one(hlapi: Any, engine: Any, address: str, port: int) -> int:
    target = await hlapi.UdpTransportTarget.create((address, port), timeout=10)
    head = (engine, hlapi.CommunityData(COMMUNITY), target, hlapi.ContextData())
    scalars = [hlapi.ObjectType(hlapi.ObjectIdentity(oid)) for oid in SCALARS.values()]
    error, status, _, got = await hlapi.get_cmd(*head, *scalars, lookupMib=False)
    if error or status:
        raise RuntimeError(f"pysnmp: {error or status}")
    found, columns, last = len(got), [column for column, _ in COLUMNS.values()], ""
    while columns:
        wanted = [hlapi.ObjectType(hlapi.ObjectIdentity(column + last)) for column in columns]
        error, status, _, rows = await hlapi.bulk_cmd(*head, 0, INTERFACES + 1, *wanted, lookupMib=False)
        if error or status:
            raise RuntimeError(f"pysnmp: {error or status}")
        width = len(columns)
        whole = len(rows) // width * width  # the agent may stop in the middle of a row
        for first in range(0, whole, width):
            name = str(rows[first][0])
            if not name.startswith(columns[0] + "."):
                return found
            found += width
            last = name.removeprefix(columns[0])
    return found

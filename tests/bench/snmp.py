"""Device polls per CPU second of the poller, against the same agents: ours, Debian's snmp_exporter, pysnmp.

SNMPv2c against agents.py; SNMPv3 authPriv (SHA, AES-128) against Debian's snmpd with the same objects as overrides. The
exporter is charged for writing its exposition, as ours for making readings; neither for who receives them.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

import yaml
from pysnmp.hlapi.v3arch import asyncio as hlapi

from collectors.interface import Credential
from collectors.profiles.loader import load_profiles
from collectors.snmp.poller import SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.bench.agents import COLUMNS, COMMUNITY, INTERFACES, SCALARS, VALUES, override_lines
from tests.bench.measure import Measure, interleaved, per_cpu_second
from tests.bench.processes import Child
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import free_port

AGENTS = 20
POLLS, V3_POLLS, PYSNMP_POLLS = 60, 8, 10
EXPORTER = "prometheus-snmp-exporter"
SECRET = "bench-secret-1"
UNIT = "polls per CPU second"
LABELS = ("ifDescr", "ifName")
NUMBERS = ("sysUpTime", "ifNumber", "snmpInPkts", "snmpOutPkts", "hrSystemProcesses")
EMITTED = len(NUMBERS) + (len(COLUMNS) - len(LABELS)) * INTERFACES


def run() -> list[Measure]:
    """Each peer in turn with us."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        v2c = _against_agents(stack, folder)
        v3 = _against_snmpd(stack, folder) if shutil.which("snmpd", path="/usr/sbin") else {}
    note = "" if EXPORTER in v2c else f"{EXPORTER} is not installed"
    measures = [
        Measure("device polls, v2c", UNIT, "higher", v2c["ours"], v2c.get(EXPORTER), EXPORTER, 100, note),
        Measure(
            "device polls, v2c, against pysnmp", UNIT, "higher", v2c["ours"], v2c["pysnmp"], "pysnmp asyncio"
        ),
    ]
    if v3:
        name = "device polls, v3 authPriv"
        measures.append(Measure(name, UNIT, "higher", v3["ours"], v3.get(EXPORTER), EXPORTER, 30, note))
    return measures


def _against_agents(stack: ExitStack, folder: Path) -> dict[str, float]:
    ready = folder / "ports"
    argv = [sys.executable, "-m", "tests.bench.agents", str(AGENTS), str(ready)]
    agents = stack.enter_context(Child(argv, folder / "agents.log"))
    ports = [int(port) for port in agents.wait_for_line(ready).split()]
    credential = Credential("snmp-v2c", community=COMMUNITY)
    sides = {"ours": _ours(folder, ports, credential, POLLS), "pysnmp": _pysnmp(ports)}
    if shutil.which(EXPORTER):
        auth: dict[str, object] = {"version": 2, "auth": {"community": COMMUNITY}}
        sides[EXPORTER] = _exporter(stack, folder, ports, auth, POLLS)
    return _measured(sides)


def _against_snmpd(stack: ExitStack, folder: Path) -> dict[str, float]:
    credential = Credential(
        "snmp-v3",
        user="bench",
        auth_protocol="SHA",
        auth_password=SECRET,
        priv_protocol="AES",
        priv_password=SECRET,
    )
    options = tuple(override_lines(1))
    snmpd = stack.enter_context(
        LoopbackSnmpd(
            folder,
            community=COMMUNITY,
            user="bench",
            auth=f"SHA:{SECRET}",
            priv=f"AES:{SECRET}",
            options=options,
        )
    )
    sides = {"ours": _ours(folder, [snmpd.port], credential, V3_POLLS)}
    if shutil.which(EXPORTER):
        auth = {
            "username": "bench", "security_level": "authPriv", "password": SECRET, "auth_protocol": "SHA",
            "priv_protocol": "AES", "priv_password": SECRET,
        }  # fmt: skip
        sides[EXPORTER] = _exporter(stack, folder, [snmpd.port], {"version": 3, "auth": auth}, V3_POLLS)
    return _measured(sides)


def _measured(sides: dict[str, Callable[[], float]]) -> dict[str, float]:
    for side in sides.values():
        side()  # caches warm, engines known
    return interleaved(sides)


def _ours(folder: Path, ports: list[int], credential: Credential, polls: int) -> Callable[[], float]:
    profiles = folder / "profiles"
    profiles.mkdir(exist_ok=True)
    (profiles / "bench.yml").write_text(yaml.safe_dump(_profile()), "utf-8")
    (profiles / "generic.yml").write_text("name: generic\n", "utf-8")
    poller = SnmpPoller(SystemClock(), load_profiles(profiles))
    devices = [
        Device(
            DeviceId(f"switch-{port}"), SiteId("bench"), "", Kind.NETWORK, "127.0.0.1",
            snmp=SnmpAccess("bench", port=port, profile="bench", timeout=2.0),
        )
        for port in ports
    ]  # fmt: skip

    def poll() -> None:
        for device in islice(cycle(devices), polls):
            result = poller.poll(device, credential)
            readings = [reading for reading in result.readings if reading.name != "snmp_module_up"]
            if len(readings) != EMITTED or result.errors:
                raise RuntimeError(f"our poll gave {len(readings)} values of {EMITTED}: {result.errors}")

    return lambda: per_cpu_second(polls, 0, poll)


def _profile() -> dict[str, object]:
    labels = {"ifIndex": "{index}", **{name: f"{{{name}}}" for name in LABELS}}
    values = {name: name for name in COLUMNS if name not in LABELS}
    module = {
        "scalars": SCALARS,
        "columns": {name: column for name, (column, _) in COLUMNS.items()},
        "emit": [{"kind": "metrics", "values": {name: name for name in NUMBERS}}],
        "rows": [{"kind": "metrics", "labels": labels, "values": values}],
    }
    return {"name": "bench", "modules": {"bench": module}}


def _exporter(
    stack: ExitStack, folder: Path, ports: list[int], auth: dict[str, object], polls: int
) -> Callable[[], float]:
    config, listen = folder / f"snmp-{auth['version']}.yml", f"127.0.0.1:{free_port()}"
    config.write_text(yaml.safe_dump({"bench": {**_module(), **auth}}), "utf-8")
    argv = [EXPORTER, f"--config.file={config}", f"--web.listen-address={listen}", "--log.level=error"]
    child = stack.enter_context(Child(argv, folder / "exporter.log", {"GOMAXPROCS": "1"}))
    child.wait_for(f"http://{listen}/config")

    def poll() -> None:
        for port in islice(cycle(ports), polls):
            url = f"http://{listen}/snmp?module=bench&target=127.0.0.1:{port}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            count = sum(not line.startswith(("#", "snmp_")) for line in lines)
            if count != EMITTED + len(SCALARS) - len(NUMBERS):
                raise RuntimeError(f"{EXPORTER} gave {count} values: {lines[:5]}")

    return lambda: per_cpu_second(polls, child.pid, poll)


def _module() -> dict[str, object]:
    """The same scalars and columns as a module of snmp_exporter 0.21."""
    text = {"sysDescr": "DisplayString", "sysName": "DisplayString", "sysObjectID": "OctetString"}
    metrics: list[dict[str, object]] = [
        {"name": name, "oid": oid.removesuffix(".0"), "type": text.get(name, "gauge"), "help": name}
        for name, oid in SCALARS.items()
    ]
    lookups = [
        {"labels": ["ifIndex"], "labelname": name, "oid": COLUMNS[name][0], "type": "DisplayString"}
        for name in LABELS
    ]
    metrics += [
        {
            "name": name, "oid": column, "type": "gauge", "help": name, "lookups": lookups,
            "indexes": [{"labelname": "ifIndex", "type": "gauge"}],
        }
        for name, (column, _) in COLUMNS.items() if name not in LABELS
    ]  # fmt: skip
    return {
        "get": list(SCALARS.values()),
        "walk": [column for column, _ in COLUMNS.values()],
        "metrics": metrics,
        "max_repetitions": INTERFACES + 1,
    }


def _pysnmp(ports: list[int]) -> Callable[[], float]:
    """GET of the scalars, GETBULK over all columns at once, all polls of a round at the same time, as one would."""
    return lambda: per_cpu_second(PYSNMP_POLLS, 0, lambda: asyncio.run(_poll_all(ports[:PYSNMP_POLLS])))


async def _poll_all(ports: list[int]) -> None:
    engine = hlapi.SnmpEngine()
    try:
        counts = await asyncio.gather(*[_poll_one(engine, port) for port in ports])
    finally:
        engine.close_dispatcher()
    if set(counts) != {VALUES}:
        raise RuntimeError(f"pysnmp gave {counts} values of {VALUES}")


async def _poll_one(engine: hlapi.SnmpEngine, port: int) -> int:
    target = await hlapi.UdpTransportTarget.create(("127.0.0.1", port), timeout=5)
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
        for first, whole in zip(range(0, len(rows), width), iter(rows[::width]), strict=False):
            name = str(whole[0])
            if not name.startswith(columns[0] + "."):
                return found
            found += len(rows[first : first + width])
            last = name.removeprefix(columns[0])
    return found

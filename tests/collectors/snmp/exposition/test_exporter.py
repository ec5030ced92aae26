"""`/snmp` beside Debian's prometheus-snmp-exporter, on Debian's snmpd, with the same module file.

Three scrapes in a row: theirs, ours, theirs. What theirs both say we say, with the same HELP and TYPE; a value that
moves lies between theirs (counters modulo 2**32), a series that comes or goes may be missing or there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from collectors.profiles.library import SHIPPED_MODULES
from monitor.credentials import Credentials
from monitor.exposition import ExpositionService
from monitor.model import (
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Site,
    SiteId,
    SnmpAccess,
)
from monitor.service import Runtime
from monitor.settings import Settings
from tests.real.snmp_exporter import LoopbackExporter
from tests.real.snmpd import LoopbackSnmpd

HOST = Path(__file__).with_name("host.yml")
CONFORMANCE = Path(os.environ.get("CONFORMANCE_DATA", "conformance")) / "snmp.yml"
NEWER = {
    "scale",
    "offset",
    "datetime_pattern",
    "display_hint",
}  # keys of a metric Debian's exporter does not know
TIMES = {"snmp_scrape_walk_duration_seconds", "snmp_scrape_duration_seconds"}
SERIES = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)")


@dataclass(slots=True)
class Exposed:
    """One exposition: HELP and TYPE by family, values by series, in order."""

    help: dict[str, str] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Exposed:
    found = Exposed()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, found.help[name] = line[7:].partition(" ")
        elif line.startswith("# TYPE "):
            name, _, found.kind[name] = line[7:].partition(" ")
        else:
            match = SERIES.fullmatch(line)
            assert match is not None, line
            found.values[match[1] + (match[2] or "")] = match[3]
    return found


def assert_between(before: Exposed, ours: Exposed, after: Exposed) -> int:
    """The rule above; gives how many values stood still and were equal to the letter."""
    assert ours.help == before.help == after.help
    assert ours.kind == before.kind == after.kind
    assert before.values.keys() & after.values.keys() <= ours.values.keys()
    assert ours.values.keys() <= before.values.keys() | after.values.keys()
    still = 0
    for series, text in ours.values.items():
        name = series.partition("{")[0]
        first, last = before.values.get(series), after.values.get(series)
        if first is None or last is None or name in TIMES:
            continue
        if first == last:
            assert text == first, series
            still += 1
        elif ours.kind[name] == "counter":
            gone, all_of_it = float(text) - float(first), float(last) - float(first)
            assert gone % 2**32 <= all_of_it % 2**32, series
        else:
            low, high = sorted((float(first), float(last)))
            assert low <= float(text) <= high, series
    return still


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    folder = tmp_path_factory.mktemp("snmpd")
    with LoopbackSnmpd(folder, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as running:
        yield running


def published() -> dict[str, dict[str, Any]]:
    """Those of the modules snmp_exporter ships that Debian's understands, its if_mib under another name."""
    if not CONFORMANCE.is_file():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    modules = yaml.load(CONFORMANCE.read_text("utf-8"), Loader=loader)["modules"]
    understood = {
        name: module
        for name, module in modules.items()
        if not any(
            NEWER & set(metric) or metric["type"] == "ParseDateAndTime" for metric in module["metrics"]
        )
        and not any(
            "enum_values" in lookup for metric in module["metrics"] for lookup in metric.get("lookups", ())
        )
    }
    return {f"published_{name}": module for name, module in understood.items()}


PUBLISHED = published()


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackExporter]:
    shipped = yaml.safe_load(SHIPPED_MODULES.read_text("utf-8"))["modules"]
    host = yaml.safe_load(HOST.read_text("utf-8"))
    quick = {"quick": {"walk": ["1.3.6.1.2.1.1"], "retries": 1, "timeout": "100ms", "metrics": []}}
    with LoopbackExporter(
        tmp_path_factory.mktemp("exporter"), {**shipped, **host, **quick, **PUBLISHED}
    ) as running:
        yield running


@pytest.fixture
def client(runtime: Runtime, snmpd: LoopbackSnmpd, exporter: LoopbackExporter, tmp_path: Path) -> FlaskClient:
    """The core's endpoint over the exporter's own file."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "snmp.yml").write_bytes(exporter.config.read_bytes())
    credentials = Credentials(runtime.database, runtime.vault)
    credentials.put("ro", "snmp-v2c", {"community": snmpd.community})
    secrets = {
        "auth_protocol": "SHA",
        "auth_password": "authpass1",
        "priv_protocol": "AES",
        "priv_password": "privpass1",
    }
    credentials.put("v3", "snmp-v3", {"user": "ops", **secrets})
    credentials.put("v1", "snmp-v1", {"community": snmpd.community})
    credentials.put("wrong", "snmp-v2c", {"community": "nobody-knows"})
    access = SnmpAccess("ro", port=snmpd.port)
    site = Site(SiteId("H1"), "一院", RegionId("r"), Grade.TERTIARY, 3, CollectorId("core"))
    devices = [
        Device(DeviceId("H1-SRV"), site.id, "主机", Kind.SERVER, snmpd.host, snmp=access),
        Device(
            DeviceId("H1-V3"), site.id, "主机", Kind.SERVER, snmpd.host, snmp=replace(access, credential="v3")
        ),
        Device(
            DeviceId("H1-V1"), site.id, "主机", Kind.SERVER, snmpd.host, snmp=replace(access, credential="v1")
        ),
        Device(
            DeviceId("H1-MUTE"), site.id, "主机", Kind.SERVER, "127.0.0.2", snmp=SnmpAccess("wrong", port=1)
        ),
        Device(
            DeviceId("H1-DEAF"),
            site.id,
            "主机",
            Kind.SERVER,
            "127.0.0.1",
            snmp=SnmpAccess("wrong", port=snmpd.port),
        ),
    ]
    region = Region(RegionId("r"), "西东区")
    runtime.directory.replace(
        Inventory("市", {region.id: region}, {site.id: site}, {device.id: device for device in devices})
    )
    settings = Settings(data=str(tmp_path), profiles=str(folder))
    app = Flask("test")
    for blueprint in ExpositionService(replace(runtime, settings=settings)).blueprints():
        app.register_blueprint(blueprint)
    return app.test_client()


def ask(client: FlaskClient, **query: str) -> tuple[int, str]:
    answer = client.get(f"/snmp?{urlencode(query)}")
    return answer.status_code, answer.get_data(as_text=True)


@pytest.mark.parametrize(("module", "least"), [("if_mib", 30), ("host", 40)])
def test_ours_is_theirs(
    client: FlaskClient, snmpd: LoopbackSnmpd, exporter: LoopbackExporter, module: str, least: int
) -> None:
    target = f"{snmpd.host}:{snmpd.port}"
    scrapes = [
        exporter.scrape(target, module),
        ask(client, target="H1-SRV", module=module),
        exporter.scrape(target, module),
    ]
    assert [status for status, _ in scrapes] == [200, 200, 200], scrapes
    before, ours, after = (parse(text) for _, text in scrapes)
    assert assert_between(before, ours, after) >= least
    assert list(ours.help) == list(before.help)
    shared = [series for series in ours.values if series in before.values]
    assert shared == [series for series in before.values if series in ours.values], "the order of the lines"


@pytest.mark.skipif(not PUBLISHED, reason="CONFORMANCE_DATA does not lead to the conformance data")
@pytest.mark.parametrize("module", sorted(PUBLISHED))
def test_ours_is_theirs_with_the_modules_they_ship(
    client: FlaskClient, snmpd: LoopbackSnmpd, exporter: LoopbackExporter, module: str
) -> None:
    target = f"{snmpd.host}:{snmpd.port}"
    before, ours, after = (
        exporter.scrape(target, module), ask(client, target="H1-SRV", module=module), exporter.scrape(target, module),
    )  # fmt: skip
    if before[0] != 200:
        pytest.skip(f"theirs fails: {before[1][-200:]}")
    assert_between(parse(before[1]), parse(ours[1]), parse(after[1]))


@pytest.mark.parametrize("device", ["H1-V3", "H1-V1"])
def test_every_version_tells_the_same(client: FlaskClient, device: str) -> None:
    texts = [ask(client, target=name, module="host") for name in ("H1-SRV", device, "H1-SRV")]
    assert [status for status, _ in texts] == [200, 200, 200], texts[1]
    before, other, after = (parse(text) for _, text in texts)
    if device == "H1-V1":  # Counter64 and bulk are not in v1: more packets, the same values
        for exposed in (before, other, after):
            exposed.values.pop("snmp_scrape_packets_sent")
    assert_between(before, other, after)


def test_the_rule_notices_differences() -> None:
    text = "# HELP a b\n# TYPE a counter\na 5\n"
    assert_between(parse(text), parse(text), parse(text))
    for other in (text.replace("5", "6"), text.replace(" b", " c"), text.replace("a 5", 'a{x="1"} 5')):
        with pytest.raises(AssertionError):
            assert_between(parse(text), parse(other), parse(text))


def test_both_refuse_in_the_same_words(
    client: FlaskClient, exporter: LoopbackExporter, snmpd: LoopbackSnmpd
) -> None:
    target = f"{snmpd.host}:{snmpd.port}"
    assert (
        ask(client, target="H1-SRV", module="nope")
        == exporter.scrape(target, "nope")
        == (400, "Unknown module 'nope'\n")
    )
    assert ask(client, target="", module="if_mib") == exporter.scrape("", "if_mib")
    closed = ask(client, target="127.0.0.2", module="quick")
    theirs = exporter.scrape("127.0.0.2:1", "quick")
    assert closed[0] == theirs[0] == 500
    words = "error walking target 127.0.0.2: "
    assert closed[1].partition(words)[:2] == theirs[1].partition(words)[:2]
    silent = ask(client, target="H1-DEAF", module="quick")
    assert silent == (
        500,
        theirs[1].partition("error walking")[0]
        + "error walking target 127.0.0.1: request timeout (after 1 retries)\n",
    )

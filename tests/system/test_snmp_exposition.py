"""`/snmp` through the whole product, as Prometheus asks for it: console process, token, core, Debian's snmpd."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.real.product import Product
from tests.real.snmpd import LoopbackSnmpd

MODULES = """
auths:
  from_file: {version: 2, community: %s}
modules:
  who:
    get: [1.3.6.1.2.1.1.5.0]
    walk: [1.3.6.1.2.1.2.2.1.2, 1.3.6.1.2.1.2.2.1.7]
    metrics:
    - {name: sysName, oid: 1.3.6.1.2.1.1.5, type: DisplayString, help: name}
    - name: port
      oid: 1.3.6.1.2.1.2.2.1.7
      type: EnumAsStateSet
      help: state
      indexes: [{labelname: ifIndex, type: gauge}]
      lookups: [{labels: [ifIndex], labelname: ifDescr, oid: 1.3.6.1.2.1.2.2.1.2, type: DisplayString}]
      enum_values: {1: up, 2: down}
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, LoopbackSnmpd]]:
    folder = tmp_path_factory.mktemp("exposition")
    with LoopbackSnmpd(folder, community="ro-word") as snmpd:
        snmp = {"credential": "ro", "port": snmpd.port, "profile": "who"}
        device = {"id": "SRV", "name": "主机", "kind": "server", "address": "127.0.0.1", "snmp": snmp}
        site = {
            "id": "H", "name": "医院", "region": "r", "grade": "primary", "protection_level": 2,
            "collector": "core", "devices": [device],
        }  # fmt: skip
        inventory = folder / "inventory.json"
        credentials = {"ro": {"kind": "snmp-v2c", "community": snmpd.community}}
        city = {
            "city": "市",
            "regions": [{"id": "r", "name": "区"}],
            "credentials": credentials,
            "sites": [site],
        }
        inventory.write_text(json.dumps(city, ensure_ascii=False), "utf-8")
        profiles = folder / "profiles"
        profiles.mkdir()
        (profiles / "snmp.yml").write_text(MODULES % snmpd.community, "utf-8")
        with Product(folder, inventory=inventory, environ={"ZHISHOU_PROFILES": str(profiles)}) as running:
            yield running, snmpd


def ask(product: Product, query: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"{product.url}/snmp?{query}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_prometheus_scrapes_through_the_console(product: tuple[Product, LoopbackSnmpd]) -> None:
    running, snmpd = product
    status, text = ask(running, f"target=127.0.0.1:{snmpd.port}&module=if_mib")
    assert status == 200, text
    assert 'ifOperStatus{ifAlias="",ifDescr="lo",ifIndex="1",ifName="lo"} 1\n' in text
    assert "\nsnmp_scrape_pdus_returned " in text
    assert ask(running, "target=SRV&module=who&auth=from_file")[1].startswith(
        "# HELP port state (EnumAsStateSet)\n"
    )
    assert 'sysName{sysName="loopback-snmpd"} 1\n' in ask(running, "target=SRV&module=who")[1]
    assert ask(running, "target=SRV&module=nothing") == (400, "Unknown module 'nothing'\n")
    assert ask(running, "target=192.0.2.77&module=if_mib")[0] == 403
    assert ask(running, "target=SRV", Authorization="Bearer zs_wrong")[0] == 401


@pytest.mark.slow
def test_a_module_of_the_operators_file_is_polled_as_a_profile(
    product: tuple[Product, LoopbackSnmpd],
) -> None:
    running, _ = product
    running.wait(lambda: running.query('sysName{device="SRV"}'), 60, "readings of the module arrive")
    ((labels, value),) = running.query('sysName{device="SRV"}')
    assert (labels["sysName"], value) == ("loopback-snmpd", 1)
    states = running.query('port{device="SRV",ifDescr="lo",ifIndex="1"}')
    assert {(labels["port"], value) for labels, value in states} == {("up", 1.0), ("down", 0.0)}

"""The topology pages: what they show, what they keep from whom, and that states come without the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.database import Database
from monitor.directory import ModuleStatus
from monitor.identity.roles import Role
from monitor.metrics.client import Sample
from monitor.model import Device, DeviceId, Inventory, Kind, SiteId, SnmpAccess
from monitor.topology.facts import Facts, Neighbour, Port, to_detail
from rules.alerting.tables import AlertRow
from tests.dashboards.metrics import NoMetrics

CORE, ACCESS, FAR = "H001-SW-1", "H001-ACC-1", "H002-SW-1"
CORE_MAC, ACCESS_MAC, STRANGE_MAC = "02000000aa01", "02000000aa02", "02000000aa99"


def ports(*names: str) -> tuple[Port, ...]:
    return tuple(Port(index, name) for index, name in enumerate(names, 1))


def heard(port: int, mac: str, remote: str, name: str, *addresses: str) -> Neighbour:
    return Neighbour(
        "lldp", port, f"XGE1/0/{port}", f"mac:{mac}", f"name:{remote}", name=name, addresses=addresses
    )


def tell(stands_on: Backend, device: str, facts: Facts | None, *, at: int, up: bool = True) -> None:
    errors = () if up else ({"code": "timeout", "message": "no answer within 2 s", "zh": "2 秒内没有应答"},)
    detail = to_detail(facts) if facts is not None else {}
    stands_on.directory.record_statuses(
        [ModuleStatus(DeviceId(device), "topology", up, at, at, errors, {}, detail)]
    )


@pytest.fixture
def campus(stands_on: Backend, clock: ManualClock) -> Backend:
    """The core hears an access switch, a stranger and a switch of another site; a second one hears it unheard."""
    inventory = stands_on.directory.inventory()
    access = Device(DeviceId(ACCESS), SiteId("H001"), "三楼接入", Kind.NETWORK, "10.1.0.2", "access",
                    depends_on=(DeviceId(CORE),), snmp=SnmpAccess("c"))  # fmt: skip
    second = replace(access, id=DeviceId("H001-ACC-2"), name="四楼接入", address="10.1.0.3")
    devices = {**inventory.devices, access.id: access, second.id: second}
    stands_on.directory.replace(replace(inventory, devices=devices))
    now = clock.now_ms()
    core = Facts(
        now - 60_000, "HX-CORE-1", f"mac:{CORE_MAC}", (CORE_MAC,),
        ports=ports("XGE1/0/1", "XGE1/0/2", "XGE1/0/3", "XGE1/0/4"),
        neighbours=(
            heard(2, ACCESS_MAC, "XGE1/0/1", "acc"),
            heard(3, STRANGE_MAC, "GE0/0/9", "SECRET-AP <b>"),
            heard(4, "02000000aa77", "Gi1/0/1", "far-switch", "10.2.0.2"),
        ),
    )  # fmt: skip
    acc = Facts(now - 90_000, "acc", f"mac:{ACCESS_MAC}", (ACCESS_MAC,), ports=ports("XGE1/0/1"),
                neighbours=(heard(1, CORE_MAC, "XGE1/0/2", "HX-CORE-1"),))  # fmt: skip
    tell(stands_on, CORE, core, at=now)
    tell(stands_on, ACCESS, acc, at=now)
    unheard = heard(1, CORE_MAC, "XGE1/0/1", "HX-CORE-1")
    tell(stands_on, second.id, replace(acc, name="acc2", chassis="", macs=(), neighbours=(unheard,)), at=now)
    return stands_on


class Ports(NoMetrics):
    """Port 2 of the core is down, port 3 is nearly full."""

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        self.asked.append(expression)
        own = {"device": CORE, "site": "H001"}
        if "rate(ifHCIn" in expression:
            return [({**own, "ifIndex": "3"}, 0.92)]
        if expression.startswith("ifOperStatus") and "==" not in expression:
            return [({**own, "ifIndex": str(n)}, 2.0 if n == 2 else 1.0) for n in (1, 2, 3, 4)]
        return [({**own, "ifIndex": "2"}, 2.0)] if "ifOperStatus" in expression else []


@pytest.fixture
def measured(campus: Backend, app: object) -> Backend:
    backend = replace(campus, metrics=Ports())
    app.extensions["zhishou"] = backend  # type: ignore[attr-defined]
    return backend


def rows(client: FlaskClient, path: str) -> list[list[str]]:
    answer = client.get(path)
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))[1:]


@pytest.mark.usefixtures("campus")
def test_the_map_names_devices_and_strangers_and_escapes_what_they_say(operator: FlaskClient) -> None:
    page = operator.get("/topology/H001").text
    assert f'data-node="{CORE}"' in page
    assert "SECRET-AP &lt;b&gt;" in page
    assert "SECRET-AP <b>" not in page
    assert "未登记邻居 1 个" in page
    assert 'data-node="H002-SW-1"' in page  # across the site's border, for one who sees the whole city
    assert "<style" not in page
    assert " style=" not in page


@pytest.mark.usefixtures("campus")
def test_of_another_site_only_what_the_neighbour_itself_says(as_role: Callable[..., FlaskClient]) -> None:
    client = as_role(Role.SITE_STAFF, "H001")
    page = client.get("/topology/H001").text
    assert "H002-SW-1" not in page
    assert "far-switch" in page
    for path in ("", "/state", "/panel?sel=x", "/links.csv", "/neighbours.csv"):
        assert client.get(f"/topology/H002{path}").status_code == 404
    document = client.get("/api/v1/topology").get_json()
    assert {node["site"] for node in document["nodes"] if node["kind"] == "device"} == {"H001"}
    assert client.get("/api/v1/topology?site=H002").status_code == 404


@pytest.mark.usefixtures("measured")
def test_links_are_down_full_or_unknown(operator: FlaskClient) -> None:
    state = operator.get("/topology/H001/state").get_json()
    down = next(mark for name, mark in state["links"].items() if ACCESS in name)
    full = next(mark for name, mark in state["links"].items() if STRANGE_MAC in name)
    assert down[:2] == ["down", "中断"]
    assert full == ["up", "正常", "92%", "w2"]
    assert "中断链路 1 条" in state["summary"]
    listed = {row[2]: row for row in rows(operator, "/topology/H001/links.csv")}
    assert listed["SECRET-AP <b>"][4:7] == ["正常", "92%", "仅一端可见"]
    city = {row[0]: row for row in rows(operator, "/topology/export.csv")}
    assert city["H001"][3:7] == ["4", "1", "1", "1"]
    assert city["H002"][3] == ""  # nothing was told: not zero links


@pytest.mark.usefixtures("campus")
def test_without_measurements_no_link_looks_well(operator: FlaskClient) -> None:
    links = operator.get("/topology/H001/state").get_json()["links"]
    assert {mark[0] for mark in links.values()} == {"unknown"}


@pytest.mark.usefixtures("campus")
def test_the_list_says_the_same_as_the_map(operator: FlaskClient) -> None:
    page = operator.get("/topology/H001?view=list").text
    assert "两端确认" in page
    assert "02:00:00:00:aa:99" in page
    assert rows(operator, "/topology/H001/neighbours.csv")[0][:2] == ["SECRET-AP <b>", "02:00:00:00:aa:99"]
    assert operator.get("/topology/H001?view=list&sort=evil&page=99").status_code == 200


@pytest.mark.parametrize(
    ("query", "seen"),
    [("show=unknown", 1), ("show=doubtful", 1), ("show=trouble", 0), ("kind=cdp", 0), ("kind=lldp", 4),
     ("q=02000000aa99", 1), ("q=nothing", 0), ("q=三楼", 1)],
)  # fmt: skip
@pytest.mark.usefixtures("campus")
def test_filters(operator: FlaskClient, query: str, seen: int) -> None:
    assert len(rows(operator, f"/topology/H001/links.csv?{query}")) == seen
    page = operator.get(f"/topology/H001?{query}").text
    assert page.count(" dim") > 0 or seen == 4


@pytest.mark.usefixtures("campus")
def test_the_panel_of_a_device_a_stranger_and_a_link(operator: FlaskClient) -> None:
    core = operator.get(f"/topology/H001/panel?sel={CORE}").text
    assert "10.1.0.1" in core
    assert f"/devices/{CORE}" in core
    assert "专网上联中断" in core  # its alert
    stranger = operator.get(f"/topology/H001/panel?sel=unknown:mac:{STRANGE_MAC}").text
    assert "资产台账中没有这台设备" in stranger
    state = operator.get("/topology/H001/state").get_json()
    link = next(name for name in state["links"] if ACCESS in name)
    said = operator.get("/topology/H001/panel", query_string={"sel": link}).text
    assert "两端确认" in said
    assert "XGE1/0/2" in said
    assert operator.get("/topology/H001/panel?sel=nobody").status_code == 404
    assert 'class="link' in operator.get(f"/topology/H001?sel={CORE}").text


def test_what_is_old_says_its_age_and_what_is_silent_says_why(
    campus: Backend, operator: FlaskClient, clock: ManualClock
) -> None:
    tell(campus, ACCESS, None, at=clock.now_ms() + 1, up=False)
    page = operator.get("/topology/H001").text
    assert "1 台网络设备没有交出邻居信息" in page
    assert "2 秒内没有应答" in page
    assert 'data-node="H001-ACC-1"' in page  # the last map stays
    tell(campus, ACCESS, Facts(clock.now_ms() - 4 * 3_600_000, "acc"), at=clock.now_ms() + 2)
    page = operator.get("/topology/H001").text
    assert "1 台设备的邻居信息已过期" in page
    assert "没有交出邻居信息" not in page


def test_a_map_that_fails_does_not_make_a_device_look_ill(
    campus: Backend, operator: FlaskClient, clock: ManualClock
) -> None:
    before = operator.get(f"/api/v1/devices/{CORE}").get_json()["state"]
    tell(campus, CORE, None, at=clock.now_ms() + 1, up=False)
    assert operator.get(f"/api/v1/devices/{CORE}").get_json()["state"] == before
    assert (
        operator.get(f"/api/v1/devices/{ACCESS}").get_json()["state"] == "unknown"
    )  # the map alone says nothing


@pytest.mark.usefixtures("campus")
def test_the_structure_has_a_version_that_changes_with_what_is_told(
    campus: Backend, operator: FlaskClient, clock: ManualClock
) -> None:
    first = operator.get("/topology/H001/state").get_json()["version"]
    assert operator.get("/topology/H001/state").get_json()["version"] == first
    tell(campus, ACCESS, Facts(clock.now_ms(), "acc"), at=clock.now_ms() + 1)
    again = operator.get("/topology/H001/state").get_json()
    assert again["version"] != first


@pytest.mark.usefixtures("campus")
def test_the_api_gives_the_graph_with_an_etag(operator: FlaskClient) -> None:
    answer = operator.get("/api/v1/topology?site=H001")
    document = answer.get_json()
    assert {node["id"] for node in document["nodes"]} >= {CORE, ACCESS, f"unknown:mac:{STRANGE_MAC}"}
    link = next(one for one in document["links"] if ACCESS in one["id"])
    assert (link["confidence"], link["kinds"], link["b"]) == (
        "confirmed", ["lldp"], {"node": CORE, "port": 2, "name": "XGE1/0/2"},
    )  # fmt: skip
    again = operator.get("/api/v1/topology?site=H001", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_a_root_cause_and_what_it_explains_are_marked(
    campus: Backend, operator: FlaskClient, database: Database
) -> None:
    with database.session() as session:
        under = session.get(AlertRow, 2)
        assert under is not None
        under.root_id, under.device = 1, ACCESS
    nodes = operator.get("/topology/H001/state").get_json()["nodes"]
    assert (nodes[CORE][3], nodes[ACCESS][3], nodes["H001-ACC-2"][3]) == ("root", "hit", "")
    page = operator.get("/topology/H001").text
    assert f'critical is-root" href="/topology/H001?sel={CORE}"' in page
    assert "根因 1 处" in page
    assert "受根因影响" in operator.get(f"/topology/H001/panel?sel={ACCESS}").text
    lit = operator.get("/topology/H001?show=trouble").text
    assert f'is-hit" href="/topology/H001?sel={ACCESS}"' in lit


def test_a_hostile_detail_is_no_failure(
    stands_on: Backend, operator: FlaskClient, clock: ManualClock
) -> None:
    detail = {
        "at": -1,
        "ports": [[1]],
        "neighbours": [["lldp", "x", None, {}, 3, 0, 0, 0, 0, 0], 7],
        "fdb": "no",
    }
    status = ModuleStatus(DeviceId(CORE), "topology", True, clock.now_ms(), clock.now_ms(), (), {}, detail)
    stands_on.directory.record_statuses([status])
    for path in ("/topology/H001", "/topology", "/topology/H001?view=list", "/api/v1/topology"):
        assert operator.get(path).status_code == 200


def test_sites_without_anything(operator: FlaskClient, stands_on: Backend) -> None:
    assert "还没有设备交出邻居信息" in operator.get("/topology").text
    stands_on.directory.replace(replace(stands_on.directory.inventory(), devices={}, services={}))
    assert "这里还没有设备" in operator.get("/topology/H001").text
    stands_on.directory.replace(Inventory("云溪市"))
    assert "没有符合条件的机构" in operator.get("/topology").text

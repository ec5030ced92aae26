"""The device pages over a real metric store: numbers come from it, old ones are grey, and every dead end says what to do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from dashboards.app import create_app
from dashboards.backend import Backend
from dashboards.scope import COOKIE
from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.database import sqlite_database
from monitor.directory import CollectorStatus, Directory
from monitor.errors import UnreachableError
from monitor.events.sqlite import SqliteEvents
from monitor.facts import FactStore
from monitor.identity.roles import Role
from monitor.metrics.client import Line, PrometheusClient, Sample
from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from monitor.model import DeviceId, SnmpAccess
from monitor.schedule import Schedule
from monitor.service import Runtime
from monitor.settings import Settings
from monitor.vault import Vault
from tests.conftest import NOON
from tests.dashboards import chassis
from tests.dashboards.chassis import BARE, CHASSIS, FIREWALL, NEW, PORTS, REFUSED, SILENT, UPS
from tests.dashboards.corehouse import core_at
from tests.dashboards.metrics import NoMetrics

TABS = ("", "/interfaces", "/hardware", "/polling")


class Counted(PrometheusClient):
    """The real client, which remembers what it asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, timeout=10)
        self.asked: list[str] = []

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        self.asked.append(expression)
        return super().instant(expression, at_ms)

    def range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> list[Line]:
        self.asked.append(expression)
        return super().range(expression, start_ms, end_ms, step_ms)


class Broken(NoMetrics):
    """A metric store that does not answer."""

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        self.asked.append(expression)
        raise UnreachableError("no answer from the metrics service", zh="指标服务没有应答")

    def range(self, expression: str, start_ms: int, end_ms: int, step_ms: int) -> list[Line]:
        self.asked.append(expression)
        raise UnreachableError("no answer from the metrics service", zh="指标服务没有应答")


@pytest.fixture(scope="module")
def _core(tmp_path_factory: pytest.TempPathFactory, _empty_database: bytes) -> Iterator[Path]:
    """The socket of a core over a store with a day of readings. Filling it takes seconds, so all tests share it."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "state.db").write_bytes(_empty_database)
    clock, database, vault = ManualClock(NOON), sqlite_database(folder), Vault(bytes(range(32)))
    memory, events, schedule = MemoryStore(), SqliteEvents(folder / "events"), Schedule()
    runtime = Runtime(
        settings=Settings(data=str(folder)),
        clock=clock,
        database=database,
        vault=vault,
        audit=AuditLog(database, clock, folder / "anchors.log"),
        schedule=schedule,
        directory=Directory(database, clock),
        facts=FactStore(folder / "facts"),
        events=events,
        store=memory,
        queries=PromqlEngine(memory),
        registry=CollectorRegistry(),
    )
    with core_at(runtime, folder) as store:
        chassis.fill(store, NOON)
        yield runtime.settings.socket_path
    schedule.stop()
    events.close()
    database.close()


@pytest.fixture
def metrics(_core: Path) -> Counted:
    return Counted(_core)


@pytest.fixture
def house(stands_on: Backend, metrics: Counted) -> Backend:
    chassis.register(stands_on.directory, NOON)
    return replace(stands_on, metrics=metrics)


def client_of(backend: Backend) -> FlaskClient:
    made = create_app(backend=backend).test_client()
    made.set_cookie(COOKIE, backend.sessions.create(f"{Role.DUTY_OPERATOR.value}-h001", "127.0.0.1"))
    return made


@pytest.fixture
def client(house: Backend) -> FlaskClient:
    return client_of(house)


def rows(page: str) -> list[str]:
    """The rows of the interface table, as text without tags."""
    body = re.search(r"iftable.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert body is not None
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in body.group(1).split("</tr>")[:-1]]


def table(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"/devices/{CHASSIS}/interfaces{query}")
    assert answer.status_code == 200
    return rows(answer.text)


def test_all_pages_of_all_devices_open_in_both_languages(client: FlaskClient) -> None:
    for language in ("zh", "en"):
        client.set_cookie("zs_lang", language)
        for device in (CHASSIS, UPS, FIREWALL, SILENT, NEW, BARE, REFUSED):
            for tab in TABS:
                answer = client.get(f"/devices/{device}{tab}")
                assert answer.status_code == 200, (device, tab)
                assert "style=" not in answer.text
                assert "<script>" not in answer.text


def test_a_chassis_is_read_with_one_query_a_metric(client: FlaskClient, metrics: Counted) -> None:
    client.get(f"/devices/{CHASSIS}/interfaces")
    assert len(metrics.asked) < 20
    octets = [asked for asked in metrics.asked if "ifHCInOctets" in asked]
    assert len(octets) == 2  # the rates of all ports, the sparklines of the page


def test_the_table_tells_traffic_load_errors_and_since_when(client: FlaskClient) -> None:
    found = table(client)
    assert len(found) == 50
    assert found[0].startswith("XGigabitEthernet1/0/1 断开 3 时 00 分") or "断开 2 时 5" in found[0]
    assert "上联 市卫生专网 A" in found[0]
    trunk = next(row for row in found if row.startswith("Eth-Trunk11"))
    share = int(re.search(r"(\d+)%", trunk).group(1))  # type: ignore[union-attr]
    assert 80 <= share <= 100
    assert "20 Gbit/s" in trunk
    faulty = next(row for row in found if row.startswith("GigabitEthernet1/0/4"))
    assert "有错误" in faulty
    assert faulty.endswith("4 0")


def test_ports_nobody_uses_are_not_trouble(client: FlaskClient) -> None:
    page = client.get(f"/devices/{CHASSIS}/interfaces").text
    unused = sum(spec.down >= chassis.DAY_MINUTES and spec.admin == 1 for spec in chassis.ports())
    assert re.search(rf"未接<span[^>]*>&#8201;{unused}</span>", page)
    assert len(table(client, "?show=down")) == 2
    assert "1 个重要接口断开" in page
    listed = table(client, "?hide=1&page=3")
    assert listed
    assert not any("未接" in row or "管理关闭" in row for row in listed)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("?sort=-in", "Eth-Trunk11"),
        ("?sort=-load", "Eth-Trunk11"),
        ("?sort=-errors", "GigabitEthernet1/0/4"),
        ("?sort=-speed", "Eth-Trunk11"),
        ("?sort=name", "Eth-Trunk11"),
        ("?q=5 号点位&sort=name", "GigabitEthernet1/0/5"),
        ("?show=errors", "GigabitEthernet1/0/4"),
        ("?show=off", "GigabitEthernet1/0/6"),
        ("?sort=alias&q=his", "Eth-Trunk11"),
        ("?sort=-name&hide=1", "XGigabitEthernet1/0/2"),
    ],
)
def test_sorting_and_filtering(client: FlaskClient, query: str, first: str) -> None:
    assert table(client, query)[0].startswith(first + " ")


def test_pages_keep_the_filter_in_the_address(client: FlaskClient) -> None:
    page = client.get(f"/devices/{CHASSIS}/interfaces?sort=name&hide=1").text
    assert f"/devices/{CHASSIS}/interfaces?sort=name&amp;hide=1&amp;page=2" in page
    last = table(client, f"?sort=name&page={-(-PORTS // 50)}")
    assert len(last) == PORTS % 50
    assert "没有符合条件的接口" in client.get(f"/devices/{CHASSIS}/interfaces?q=nothing").text


def test_the_csv_has_every_filtered_port(client: FlaskClient) -> None:
    answer = client.get(f"/devices/{CHASSIS}/interfaces.csv?show=up")
    assert answer.content_type == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert len(lines) == sum(not spec.down and spec.admin == 1 for spec in chassis.ports())
    trunk = next(line for line in lines if line["接口"] == "Eth-Trunk11")
    assert float(trunk["入利用率"]) == pytest.approx(0.9, abs=0.1)
    assert trunk["速率 bit/s"] == "20000000000.0"


def test_a_port_opens_beside_the_table_with_its_own_charts(client: FlaskClient) -> None:
    page = client.get(f"/devices/{CHASSIS}/interfaces?port=3").text
    assert f"/devices/{CHASSIS}/charts/port?range=1h&amp;port=3&amp;speed=20000000000" in page
    data = client.get(f"/devices/{CHASSIS}/charts/port?range=1h&port=3&speed=20000000000").get_json()
    assert data["thresholds"] == [{"y": 18e9}]
    assert [line["name"] for line in data["series"]] == ["入", "出"]
    assert data["series"][0]["data"][120] == pytest.approx(19e9, rel=0.1)
    wrong = client.get(f"/devices/{CHASSIS}/charts/errors?range=1h&port=4").get_json()
    assert wrong["series"][0]["data"][120] == pytest.approx(4.0, rel=0.01)
    assert (
        'id="port-panel" class="drawer" hidden' in client.get(f"/devices/{CHASSIS}/interfaces?port=999").text
    )


def test_hardware_is_worst_first_with_the_day_of_each_sensor(client: FlaskClient) -> None:
    page = client.get(f"/devices/{CHASSIS}/hardware").text
    places = [page.index(name) for name in (">PWR 2<", ">PWR 1<", ">fan 2<", ">fan 1<", ">LPU Board 3<")]
    assert places == sorted(places)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert re.search(r"PWR 2 故障 1 时 (29|30|31) 分", text)
    assert re.search(r"温度 2 MPU Board 9 – 58 °C .*? 进风口 – 31 °C 27 °C 35 °C", text)


def test_a_supply_on_battery_says_so_before_any_alert(client: FlaskClient) -> None:
    page = client.get(f"/devices/{UPS}").text
    assert re.search(r'class="verdict critical".*?正用电池供电，预计还能撑 23 分', page, re.DOTALL)
    assert "60%" in page
    assert "/charts/ups" in page


def test_a_full_volume_and_sessions_of_a_firewall(client: FlaskClient) -> None:
    page = client.get(f"/devices/{FIREWALL}").text
    assert "存储 /var/log 已用 97%" in page
    assert "18,000" in page
    assert "/charts/sessions" in page


@pytest.mark.parametrize("tab", TABS)
def test_what_an_unreachable_device_said_is_grey_and_never_healthy(client: FlaskClient, tab: str) -> None:
    page = client.get(f"/devices/{SILENT}{tab}").text
    assert "没有应答，下面是末次读数" in page
    assert "设备无响应（10.1.0.7:161）" in page
    assert "zhishou poll 10.1.0.7" in page
    main = page[page.index('id="main"') :]
    assert 'class="sev ok"' not in main
    assert "badge stale" in main


def test_the_last_values_of_an_unreachable_device_are_those_before_its_silence(client: FlaskClient) -> None:
    (row,) = rows(client.get(f"/devices/{SILENT}/interfaces").text)
    assert row.startswith("GE0/0/1 末次 通 上联 1 Gbit/s 10 Mbit/s 4 Mbit/s")
    assert "33%" in client.get(f"/devices/{SILENT}").text


def test_polling_says_which_profile_and_why_and_how_the_day_was(client: FlaskClient) -> None:
    page = client.get(f"/devices/{CHASSIS}/polling").text
    assert "huawei-vrp" in page
    assert "sysObjectID 落在 1.3.6.1.4.1.2011 之下" in page
    assert "与台账不符" in page  # SN1 is registered, the device says SN-OTHER
    assert re.search(r"97\.\d\d%", page)
    assert page.count('class="t-critical"') == 1
    assert page.count('class="t-minor"') == 1
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "hwOptical 未读到 hwOptical：设备无响应" in text
    assert "设备在线，只有这一段没有应答" in text
    assert "hwEntity 读到" in text


def test_a_device_only_the_generic_profile_knows_says_how_to_do_better(client: FlaskClient) -> None:
    page = client.get(f"/devices/{FIREWALL}/polling").text
    assert "没有专用配置认得这台设备" in page
    assert "zhishou profile new" in page


@pytest.mark.parametrize(
    ("device", "says", "advises"),
    [
        (BARE, "这台设备没有登记采集方式", "在资产台账为它写上 snmp 或 ssh"),
        (NEW, "凭据 missing 不存在，无法读取", "在资产台账的 credentials 里加上这个名称"),
        (REFUSED, "设备拒绝了凭据", "核对凭据 ops 的用户名、认证与加密协议"),
    ],
)
def test_a_dead_end_says_what_to_do(client: FlaskClient, device: str, says: str, advises: str) -> None:
    page = client.get(f"/devices/{device}").text
    assert says in page
    assert advises in page


def test_what_was_never_read_is_never_healthy(house: Backend) -> None:
    world = house.directory.inventory()
    waiting = replace(world.devices[DeviceId(NEW)], id=DeviceId("H001-SW-6"), snmp=SnmpAccess("ops"))
    house.directory.replace(replace(world, devices={**world.devices, waiting.id: waiting}))
    client = client_of(house)
    for device in (NEW, BARE, REFUSED, waiting.id):
        for tab in TABS:
            page = client.get(f"/devices/{device}{tab}").text
            assert 'class="verdict unknown"' in page, (device, tab)
            assert "应答正常" not in page
            assert 'class="sev ok"' not in page
    assert "已下发给采集器 c1，每 60 秒采集一次" in client.get(f"/devices/{waiting.id}").text


def test_a_lost_collector_and_one_that_never_came(house: Backend, clock: ManualClock) -> None:
    assert "已失联" not in client_of(house).get(f"/devices/{UPS}").text
    world = house.directory.inventory()
    other = replace(world.devices[DeviceId("C003-SW-1")], snmp=SnmpAccess("ops"))
    house.directory.replace(replace(world, devices={**world.devices, other.id: other}))
    assert "采集器 c2 从未上线" in client_of(house).get(f"/devices/{other.id}").text
    clock.advance(300)
    assert "采集器 c1 已失联" in client_of(house).get(f"/devices/{UPS}").text


def test_readings_grow_old(house: Backend, clock: ManualClock) -> None:
    clock.advance(150)
    house.directory.record_heartbeat(CollectorStatus("c1", clock.now_ms(), 0, 3))
    assert "末次" not in " ".join(rows(client_of(house).get(f"/devices/{CHASSIS}/interfaces").text)[:5])
    clock.advance(60)
    assert all("末次" in row for row in rows(client_of(house).get(f"/devices/{CHASSIS}/interfaces").text))


def test_without_the_metric_store_the_page_still_opens_and_asks_once(house: Backend) -> None:
    broken = Broken()
    client = client_of(replace(house, metrics=broken))
    for tab in TABS:
        broken.asked.clear()
        answer = client.get(f"/devices/{CHASSIS}{tab}")
        assert answer.status_code == 200
        assert "指标服务没有应答" in answer.text
        assert len(broken.asked) == 1


def test_a_device_of_another_site_is_not_found(house: Backend, as_role: Callable[..., FlaskClient]) -> None:
    staff = as_role(Role.SITE_STAFF, "H002")
    for path in (CHASSIS, f"{CHASSIS}/interfaces", f"{CHASSIS}/interfaces.csv", f"{CHASSIS}/hardware",
                 f"{CHASSIS}/polling", f"{CHASSIS}/charts/port?port=3"):  # fmt: skip
        assert staff.get(f"/devices/{path}").status_code == 404, path

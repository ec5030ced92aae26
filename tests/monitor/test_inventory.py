"""The inventory file: places of errors, references, plan and apply."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit import AuditLog
from monitor.clock import ManualClock
from monitor.credentials import Credentials
from monitor.database import Database
from monitor.directory import CollectorStatus, Directory, ModuleStatus
from monitor.document import parse_document
from monitor.errors import InputError, NotFoundError
from monitor.inventory.file import InventoryFile, InventoryFileError, check_inventory, load_inventory
from monitor.inventory.plan import apply, changes
from monitor.model import WHOLE_CITY, DeviceId, Scope, SiteId
from monitor.vault import Vault

TEXT = """\
city: 云溪市
regions:
  - {id: xidong, name: 溪东区}
credentials:
  ro: {kind: snmp-v2c, community: hidden-word}
sites:
  - id: H001
    name: 市第一人民医院
    region: xidong
    grade: tertiary
    protection_level: 3
    collector: core
    contacts: [{name: 江序, post: 信息科, phone: "8011"}]
    devices:
      - id: H001-SW-1
        name: 核心交换机
        kind: network
        address: 192.0.2.1
        snmp: {credential: ro, interval: 30}
      - id: H001-HIS-1
        name: HIS 服务器
        kind: server
        address: his.example
        depends_on: [H001-SW-1]
        probes: [{kind: tcp, name: web, port: 443}]
    services:
      - id: H001-HIS
        name: HIS
        tree: {children: [{need: leaf, device: H001-HIS-1, probe: web}, {need: leaf, device: H001-SW-1}]}
"""


def check(text: str) -> InventoryFile:
    return check_inventory(parse_document(text, "city.yml"))


def errors(text: str) -> list[str]:
    with pytest.raises(InventoryFileError) as caught:
        check(text)
    return caught.value.errors


@pytest.fixture
def directory(database: Database, clock: ManualClock, audit: AuditLog, vault: Vault) -> Directory:
    made = Directory(database, clock)
    apply(check(TEXT), made, Credentials(database, vault), audit, "test")
    return made


def test_a_good_file_becomes_model_values() -> None:
    inventory = check(TEXT).inventory
    device = inventory.devices[DeviceId("H001-SW-1")]
    assert device.site == "H001"
    assert device.snmp is not None
    assert device.snmp.interval == 30.0
    assert inventory.devices[DeviceId("H001-HIS-1")].depends_on == ("H001-SW-1",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("region: xidong\n", "region: nowhere\n", "city.yml:9 (sites[0].region): no region 'nowhere'"),
        ("protection_level: 3", "protection_level: 4", "city.yml:11 "),
        ("grade: tertiary", "grade: huge", "city.yml:10 "),
        ("credential: ro", "credential: rw", "no credential 'rw'"),
        ("address: 192.0.2.1", "address: 192.0.2.999", "neither an IP address nor a host name"),
        ("depends_on: [H001-SW-1]", "depends_on: [X]", "no other device 'X'"),
        ("probe: web", "probe: ssh", "has no probe 'ssh'"),
        ("kind: network", "kinds: network", "unknown key 'kinds'"),
        ("id: H001-HIS-1", "id: H001-SW-1", "is used twice; first at city.yml:15"),
        ("kind: snmp-v2c", "kind: snmp-v9", "expected kind: one of"),
        ("interval: 30", "interval: often", "expected float, found 'often'"),
        ("community: hidden-word", "community: {env: NO_SUCH_VARIABLE_HERE}", "is not set"),
    ],
)
def test_errors_name_file_line_and_remedy(old: str, new: str, expected: str) -> None:
    assert old in TEXT
    found = errors(TEXT.replace(old, new, 1))
    assert any(expected in line for line in found), found
    assert all(line.startswith("city.yml:") for line in found)
    assert not any("hidden-word" in line for line in found)


def test_all_errors_are_reported_at_once() -> None:
    text = TEXT.replace("grade: tertiary", "grade: huge").replace("address: his.example", "address: -x")
    assert len(errors(text)) >= 2


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "a: 1\na: 2",
        "a: &x [1]\nb: *x",
        "[" * 40 + "]" * 40,
        "!!python/object/apply:os.system ['true']",
        "a: 2026-99-99",
        "\x00",
    ],
)
def test_hostile_yaml_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        check(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        check(text)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_inventory(tmp_path / "nothing.yml")


def test_what_is_applied_is_read_back_the_same(directory: Directory) -> None:
    assert directory.inventory() == check(TEXT).inventory
    assert directory.inventory() is directory.inventory()


def test_the_plan_names_additions_changes_and_removals(directory: Directory) -> None:
    before = directory.inventory()
    assert changes(before, before) == []
    after = check(TEXT.replace("核心交换机", "新核心").replace("H001-HIS-1", "H001-HIS-2")).inventory
    found = {(c.action, c.id): c.fields for c in changes(before, after)}
    assert found["add", "H001-HIS-2"] == ()
    assert found["remove", "H001-HIS-1"] == ()
    assert found["change", "H001-SW-1"] == ("name",)


def test_the_scope_hides_other_sites(directory: Directory) -> None:
    other = Scope(frozenset({SiteId("H999")}))
    assert directory.sites(other) == []
    assert directory.devices(other) == []
    assert directory.services(other) == []
    with pytest.raises(NotFoundError):
        directory.device(other, "H001-SW-1")
    assert directory.device(WHOLE_CITY, "H001-SW-1").name == "核心交换机"


def status(at: int, *, up: bool = True, **more: object) -> ModuleStatus:
    return ModuleStatus(
        DeviceId("H001-SW-1"), "snmp", up, at, at, (), more.get("identity", {}), more.get("detail", {})  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_last_known_identity_outlives_an_outage(directory: Directory) -> None:
    directory.record_statuses([status(1000, identity={"os": "VRP"}, detail={"interfaces": []})])
    directory.record_statuses([status(2000, up=False)])
    directory.record_statuses([status(1500)])  # late: ignored
    found = directory.statuses(WHOLE_CITY, "H001-SW-1")[0]
    assert (found.up, found.checked_at, found.changed_at) == (False, 2000, 2000)
    assert found.identity == {"os": "VRP"}
    assert directory.statuses(Scope(frozenset())) == []


def test_statuses_of_devices_that_are_gone_go_too(directory: Directory) -> None:
    directory.record_statuses([status(1000)])
    directory.replace(check(TEXT.replace("H001-SW-1", "H001-SW-9")).inventory)
    assert directory.statuses(WHOLE_CITY) == []


def test_heartbeats_are_kept_by_collector(directory: Directory) -> None:
    directory.record_heartbeat(CollectorStatus("core", 5, 1, 2))
    directory.record_heartbeat(CollectorStatus("core", 6, 0, 2))
    assert directory.collectors() == [CollectorStatus("core", 6, 0, 2)]

"""What finds become: one proposal a device, known or not, decided once, back only as another device."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from monitor.clock import ManualClock
from monitor.directory import Directory, ModuleStatus
from monitor.discovery.approval import Wish
from monitor.discovery.interface import Find, ProposalView
from monitor.discovery.rooms import Discovery
from monitor.errors import InputError, NotFoundError
from monitor.model import WHOLE_CITY, DeviceId, Scope, SiteId, SnmpAccess
from tests.conftest import NOON
from tests.monitor.discovery.conftest import FIND, city, device

H001 = Scope(frozenset({SiteId("H001")}))
H002 = Scope(frozenset({SiteId("H002")}))
Audited = Callable[[], list[tuple[str, str, str]]]


@pytest.fixture
def take(discovery: Discovery) -> Callable[..., ProposalView]:
    """Feeds a find of H001's scan; returns the newest proposal of its address."""
    scan = discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")

    def feed(find: Find, at: int = NOON) -> ProposalView:
        discovery.proposals.take("H001", scan, json.dumps(asdict(find)), at)
        found = discovery.proposals.list(WHOLE_CITY)
        return next(p for p in found if find.address in {p.address, *p.duplicates})

    return feed


def test_a_find_becomes_a_proposal_once(discovery: Discovery, take: Callable[..., ProposalView]) -> None:
    view = take(FIND)
    assert (view.state, view.address, view.kind, view.vendor, view.serial) == (
        "new", "10.0.0.9", "network", "Huawei", "2102350009",
    )  # fmt: skip
    again = take(replace(FIND, version="5.171"), NOON + 1000)
    assert (again.id, again.version, again.first_seen, again.last_seen) == (
        view.id,
        "5.171",
        NOON,
        NOON + 1000,
    )
    assert len(discovery.proposals.list(WHOLE_CITY)) == 1


def test_a_multi_homed_device_is_one_proposal(
    discovery: Discovery, take: Callable[..., ProposalView]
) -> None:
    take(FIND)
    view = take(replace(FIND, address="10.0.1.9"))
    assert (view.address, view.duplicates) == ("10.0.0.9", ("10.0.1.9",))
    other = take(replace(FIND, address="10.0.2.9", serial="2102357777", macs=("04:f0:21:00:00:77",)))
    assert other.id != view.id
    assert other.duplicates == ()


def test_a_find_that_joins_two_proposals_leaves_one(
    discovery: Discovery, take: Callable[..., ProposalView]
) -> None:
    bare = replace(FIND, serial="", engine_id="")
    left = take(replace(bare, sys_name="a", macs=("04:f0:21:00:00:01",)))
    right = take(replace(bare, address="10.0.1.9", sys_name="b", macs=("04:f0:21:00:00:02",)))
    assert left.id != right.id
    discovery.proposals.dismiss(H001, [right.id], "wang", "备件")
    view = take(
        replace(bare, address="10.0.2.9", sys_name="b", macs=("04:f0:21:00:00:01", "04:f0:21:00:00:02"))
    )
    assert view.id == right.id  # somebody decided about it
    assert sorted((view.address, *view.duplicates)) == ["10.0.0.9", "10.0.1.9", "10.0.2.9"]
    assert len(discovery.proposals.list(WHOLE_CITY)) == 1


def test_another_device_at_an_address_forgets_the_old_one(take: Callable[..., ProposalView]) -> None:
    take(FIND)
    take(replace(FIND, address="10.0.1.9"))
    view = take(replace(FIND, serial="2102357777", macs=("04:f0:21:00:00:77",), sys_name="new"))
    assert (view.serial, view.duplicates) == ("2102357777", ())


def test_what_the_inventory_has_is_known(
    discovery: Discovery, directory: Directory, take: Callable[..., ProposalView], clock: ManualClock
) -> None:
    assert take(replace(FIND, address="10.0.0.1", addresses=())).device == "D1"
    clock.advance(60)
    status = ModuleStatus(DeviceId("D1"), "snmp", True, NOON, NOON, (), {"serial": "2102-35-0001"}, {})
    directory.record_statuses([status])
    view = take(replace(FIND, address="10.0.7.7", serial="2102350001", macs=(), sys_name="x", addresses=()))
    assert (view.state, view.device) == ("known", "D1")
    directory.replace(city())
    assert discovery.proposals.review() == 0
    directory.replace(city(device("D2", "H002", "10.0.0.1", snmp=SnmpAccess("two"))))
    discovery.proposals.review()
    assert {p.state for p in discovery.proposals.list(WHOLE_CITY)} == {"new"}


def test_the_same_address_at_another_site_is_another_device(
    discovery: Discovery, directory: Directory, take: Callable[..., ProposalView]
) -> None:
    directory.replace(
        city(device("D2", "H002", "10.0.0.9", snmp=SnmpAccess("ro")), device("D1", "H001", "10.0.0.1"))
    )
    assert take(FIND).state == "new"
    scan = discovery.scans.start(WHOLE_CITY, "H002", ["10.0.0.0/24"], "wang")
    discovery.proposals.take("H002", scan, json.dumps(asdict(FIND)), NOON)
    assert sorted((p.site, p.state) for p in discovery.proposals.list(WHOLE_CITY)) == [
        ("H001", "new"),
        ("H002", "known"),
    ]
    assert [p.site for p in discovery.proposals.list(H002)] == ["H002"]


def test_a_dismissed_device_stays_away_until_it_is_another(
    discovery: Discovery, take: Callable[..., ProposalView], audited: Audited
) -> None:
    view = take(FIND)
    discovery.proposals.dismiss(H001, [view.id], "wang", "  临时设备 ")
    assert audited()[-1] == ("wang", "discovery.dismiss", "10.0.0.9 161")
    assert take(replace(FIND, version="5.200"), NOON + 1).state == "dismissed"
    assert discovery.proposals.list(H001, states=["new"]) == []
    back = take(replace(FIND, sys_name="dose-pump"), NOON + 2)
    assert (back.state, back.changed) == ("new", True)
    discovery.proposals.dismiss(H001, [view.id], "wang", "还是它")
    assert take(replace(FIND, sys_name="dose-pump"), NOON + 3).state == "dismissed"
    discovery.proposals.reopen(H001, view.id, "li")
    assert discovery.proposals.get(H001, view.id).state == "new"


def test_dismissing_needs_a_reason_and_something_open(
    discovery: Discovery, take: Callable[..., ProposalView]
) -> None:
    view = take(FIND)
    known = take(replace(FIND, address="10.0.0.1", serial="", macs=(), sys_name="d1", addresses=()))
    for numbers, reason, named in (
        ([view.id], "  ", "reason"),
        ([], "x", "nothing"),
        ([known.id], "x", "known"),
    ):
        with pytest.raises(InputError, match=named):
            discovery.proposals.dismiss(H001, numbers, "wang", reason)
    with pytest.raises(NotFoundError):
        discovery.proposals.dismiss(H002, [view.id], "wang", "x")
    with pytest.raises(NotFoundError):
        discovery.proposals.reopen(H002, view.id, "wang")


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"address": 1}', "not json", json.dumps({**asdict(FIND), "port": 0}), "[" * 9000],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_find_is_refused(discovery: Discovery, document: str) -> None:
    scan = discovery.scans.start(WHOLE_CITY, "H001", ["10.0.0.0/24"], "wang")
    with pytest.raises(InputError):
        discovery.proposals.take("H001", scan, document, NOON)


def test_a_find_without_its_scan_is_ignored(discovery: Discovery) -> None:
    scan = discovery.scans.start(WHOLE_CITY, "H002", ["10.0.0.0/24"], "wang")
    discovery.proposals.take("H001", scan, json.dumps(asdict(FIND)), NOON)
    discovery.proposals.take("H001", scan + 5, json.dumps(asdict(FIND)), NOON)
    assert discovery.proposals.list(WHOLE_CITY) == []


# -- approval -------------------------------------------------------------------------------------------------


def test_an_approved_proposal_is_a_device_that_is_polled(
    discovery: Discovery, directory: Directory, take: Callable[..., ProposalView], audited: Audited
) -> None:
    view = take(replace(FIND, port=16100))
    assert discovery.approval.approve(H001, [Wish(view.id)], "wang") == ["H001-acc-9"]
    made = directory.device(H001, "H001-acc-9")
    assert (made.name, made.kind, made.vendor, made.model, made.serial) == (
        "acc-9",
        "network",
        "Huawei",
        "S5735",
        "2102350009",
    )
    assert made.snmp == SnmpAccess("ro", port=16100)
    assert {"D1", "D2"} <= set(directory.inventory().devices)
    assert [entry[1:] for entry in audited()[-2:]] == [
        ("inventory.apply", directory.version()), ("discovery.approve", "H001-acc-9"),
    ]  # fmt: skip
    assert discovery.proposals.get(H001, view.id).state == "approved"
    assert take(replace(FIND, port=16100), NOON + 9).state == "approved"
    with pytest.raises(InputError, match="approved"):
        discovery.approval.approve(H001, [Wish(view.id)], "wang")
    directory.replace(city())
    discovery.proposals.review()
    assert discovery.proposals.get(H001, view.id).state == "new"


def test_what_was_edited_is_taken(
    discovery: Discovery, directory: Directory, take: Callable[..., ProposalView]
) -> None:
    take(FIND)
    view = take(replace(FIND, address="10.0.1.9"))
    discovery.grants.release(WHOLE_CITY, "H003", "ops", "sec")
    wish = Wish(view.id, "FW-1", "出口防火墙", "security", "H003", "ops", "10.0.1.9")
    discovery.approval.approve(WHOLE_CITY, [wish], "wang")
    made = directory.device(WHOLE_CITY, "FW-1")
    assert (made.site, made.name, made.kind, made.address) == ("H003", "出口防火墙", "security", "10.0.1.9")
    assert made.snmp is not None
    assert made.snmp.credential == "ops"


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"device": "D1"}, "taken"),
        ({"device": "has space"}, "not an id"),
        ({"kind": "toaster"}, "kind"),
        ({"address": "10.7.7.7"}, "10.7.7.7"),
        ({"credential": "two"}, "two"),
        ({"site": "H003"}, "not one of site H003"),
    ],
    ids=str,
)
def test_a_wrong_wish_changes_nothing(
    discovery: Discovery,
    directory: Directory,
    take: Callable[..., ProposalView],
    wish: dict[str, str],
    named: str,
) -> None:
    good = take(replace(FIND, address="10.0.0.8", serial="2102350008", sys_name="acc-8", macs=()))
    view, before = take(FIND), directory.version()
    with pytest.raises(InputError, match=named):
        discovery.approval.approve(WHOLE_CITY, [Wish(good.id), Wish(view.id, **wish)], "wang")
    assert directory.version() == before
    assert discovery.proposals.get(H001, good.id).state == "new"


def test_nobody_approves_beyond_his_sites(discovery: Discovery, take: Callable[..., ProposalView]) -> None:
    view = take(FIND)
    with pytest.raises(NotFoundError):
        discovery.approval.approve(H002, [Wish(view.id)], "li")
    with pytest.raises(NotFoundError):
        discovery.approval.approve(H001, [Wish(view.id, site="H002")], "li")


def test_many_at_once_get_ids_of_their_own(discovery: Discovery, take: Callable[..., ProposalView]) -> None:
    views = [
        take(
            replace(FIND, address=f"10.0.0.{n}", serial=f"210235{n:04}", sys_name=name, addresses=(), macs=())
        )
        for n, name in ((20, "ups"), (21, "ups"), (22, "核心"), (23, "H001-SW-3"))
    ]
    made = discovery.approval.approve(H001, [Wish(view.id) for view in views], "wang")
    assert made == ["H001-ups", "H001-ups-2", f"H001-{views[2].id}", "H001-SW-3"]


def test_an_inventory_that_is_wrong_already_is_named(
    discovery: Discovery, directory: Directory, take: Callable[..., ProposalView]
) -> None:
    view = take(FIND)
    directory.replace(city(device("D1", "H001", "10.0.0.1", depends_on=(DeviceId("gone"),))))
    with pytest.raises(InputError, match="depends_on"):
        discovery.approval.approve(H001, [Wish(view.id)], "wang")

"""What counts as a change of a device, and what is only silence, a half answer, flapping, or an update of ours."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from monitor.discovery.changes import GONE_AFTER, NEW_AFTER, WORDS, Change, Known, compare

FACTS = {"serial": "A1", "version": "5.1", "hardware": "S5735", "os": "VRP", "sys_name": "core", "profile": "vrp",
         "sys_object_id": "1.3.6.1", "profile_revision": "aa"}  # fmt: skip


def first(interfaces: Iterable[str] = ("GE1", "GE2")) -> Known:
    known, changes = compare(None, FACTS, interfaces, 1)
    assert changes == []
    return known


def rounds(known: Known, *lists: Iterable[str] | None) -> tuple[Known, list[Change]]:
    found: list[Change] = []
    for at, interfaces in enumerate(lists, 2):
        known, changes = compare(known, FACTS, interfaces, at)
        found += changes
    return known, found


@pytest.mark.parametrize(
    ("fact", "what"),
    [("serial", "serial"), ("version", "version"), ("hardware", "hardware"), ("os", "os"), ("sys_name", "sys_name"),
     ("sys_object_id", "sys_object_id")],
)  # fmt: skip
def test_a_fact_that_differs_is_told_once(fact: str, what: str) -> None:
    known, changes = compare(first(), {**FACTS, fact: "new"}, None, 2)
    assert changes == [Change(what, FACTS[fact], "new")]
    assert compare(known, {**FACTS, fact: "new"}, None, 3)[1] == []


def test_a_fact_that_was_not_read_is_not_gone() -> None:
    known, changes = compare(
        first(), {k: FACTS[k] for k in ("sys_name", "profile", "profile_revision")}, None, 2
    )
    assert changes == []
    assert compare(known, {**FACTS, "serial": "B2"}, None, 3)[1] == [Change("serial", "A1", "B2")]


def test_the_first_sight_of_a_fact_is_no_change() -> None:
    known, _ = compare(None, {"sys_name": "core"}, None, 1)
    assert compare(known, {"sys_name": "core", "serial": "A1"}, None, 2)[1] == []


@pytest.mark.parametrize("key", ["profile", "profile_revision"])
def test_reading_otherwise_is_no_change_of_the_device(key: str) -> None:
    otherwise = {
        **FACTS,
        key: "other",
        "os": "Versatile",
        "version": "V5",
        "serial": "S/N A1",
        "hardware": "S5735-L",
    }
    known, changes = compare(first(), otherwise, ["GigabitEthernet1", "GigabitEthernet2"], 2)
    assert changes == []
    assert compare(known, {**otherwise, "version": "V6"}, None, 3)[1] == [Change("version", "V5", "V6")]
    after, changes = compare(known, otherwise, ["GigabitEthernet1"], 3)
    assert (changes, after.missing) == ([], {"GigabitEthernet2": 1})


def test_another_box_is_told_even_when_it_needs_another_profile() -> None:
    box = {
        **FACTS,
        "profile": "comware",
        "sys_object_id": "1.3.6.2",
        "serial": "H3",
        "hardware": "S6520",
        "os": "Comware",
    }
    _, changes = compare(first(), box, None, 2)
    assert {change.what for change in changes} == {"sys_object_id", "serial", "hardware"}


def test_a_new_interface_is_told_when_it_stays() -> None:
    known, changes = rounds(first(), *[("GE1", "GE2", "GE3")] * (NEW_AFTER - 1))
    assert changes == []
    known, changes = rounds(known, ("GE1", "GE2", "GE3"))
    assert changes == [Change("interfaces.new", "", "GE3")]
    assert rounds(known, ("GE1", "GE2", "GE3"))[1] == []


def test_an_interface_is_gone_when_it_stays_away() -> None:
    known, changes = rounds(first(), *[("GE1",)] * (GONE_AFTER - 1))
    assert changes == []
    _, changes = rounds(known, ("GE1",))
    assert changes == [Change("interfaces.gone", "GE2", "")]


def test_flapping_and_broken_lists_say_nothing() -> None:
    both, one = ("GE1", "GE2"), ("GE1",)
    assert rounds(first(), one, both, one, one, both, one, None, both)[1] == []
    assert rounds(first(one), both, one, both, one, both, one)[1] == []
    assert rounds(first(), None, (), None, ())[1] == []


def test_interfaces_of_containers_and_callers_do_not_count() -> None:
    assert rounds(first(), *[("GE1", "GE2", "veth12ab", "Virtual-Access7", "tun0")] * 5)[1] == []


def test_many_interfaces_make_one_sentence() -> None:
    many = [f"GE{n:02}" for n in range(40)]
    _, changes = rounds(first(many[:2]), many, many)
    assert len(changes) == 1
    assert changes[0].after.endswith("(+26)")


def test_every_kind_of_change_has_both_sentences() -> None:
    for what in WORDS:
        english, chinese = Change(what, "a", "b").sentences("核心交换机")
        assert english.isascii() is False  # the device's own name
        assert "核心交换机" in english
        assert "核心交换机" in chinese
        assert english != chinese

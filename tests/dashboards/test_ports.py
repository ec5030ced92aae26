"""How an interface stands, which ones are shown, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.console.devices.hardware import group_of
from dashboards.console.devices.ports import SHOWS, SORTS, Port, counts, natural, wanted, worth_a_look
from dashboards.drawing import spark_pair, strip_ticks

UP = Port("1", "GE0/0/1", admin="up", oper="up", speed=1e9, rate_in=9.5e8, rate_out=1e8)
DOWN = Port("2", "GE0/0/2", admin="up", oper="down")


@pytest.mark.parametrize(
    ("port", "stand", "mark"),
    [
        (UP, "up", "ok"),
        (replace(UP, oper="dormant"), "up", "ok"),
        (replace(UP, errors=4.0), "up", "minor"),
        (replace(UP, alert="critical"), "up", "critical"),
        (DOWN, "idle", "off"),
        (replace(DOWN, was_up=True), "down", "info"),
        (replace(DOWN, alias="上联 出口"), "broken", "minor"),
        (replace(DOWN, alias="预留 上联"), "idle", "off"),
        (replace(DOWN, alias="HIS", speed=1e10), "broken", "minor"),
        (replace(DOWN, alert="major"), "broken", "major"),
        (replace(DOWN, oper="notPresent"), "absent", "off"),
        (replace(DOWN, oper="testing"), "testing", "maint"),
        (replace(DOWN, oper=""), "unknown", "unknown"),
        (replace(DOWN, oper="unknown"), "unknown", "unknown"),
        (replace(DOWN, admin="down", alias="上联"), "off", "off"),
    ],
)
def test_how_a_port_stands(port: Port, stand: str, mark: str) -> None:
    assert (port.stand, port.mark) == (stand, mark)


def test_an_old_reading_is_never_healthy() -> None:
    assert replace(UP, late=True).mark == "stale"
    assert replace(UP, late=True, alert="critical").mark == "stale"


def test_load_is_the_busier_direction_of_a_known_speed() -> None:
    assert UP.load == pytest.approx(0.95)
    assert replace(UP, speed=None).load is None
    assert replace(UP, rate_in=None).load == pytest.approx(0.1)


def test_filters() -> None:
    ports = [
        UP,
        replace(UP, index="3", name="GE0/0/3", errors=2.0, mac="00:11:22:33:44:55"),
        DOWN,
        replace(DOWN, index="4", name="GE0/0/4", was_up=True, alias="5 号点位"),
        replace(DOWN, index="5", name="GE0/0/5", admin="down"),
    ]

    def names(text: str = "", show: str = "", hide: bool = False) -> list[str]:
        return [port.index for port in wanted(ports, text, show, hide_unused=hide)]

    assert names() == ["1", "3", "2", "4", "5"]
    assert names("号点位") == ["4"]
    assert names("00:11:22") == ["3"]
    assert names("ge0/0/5") == ["5"]
    assert names(show="up") == ["1", "3"]
    assert names(show="down") == ["4"]
    assert names(show="errors") == ["3"]
    assert names(show="off") == ["5"]
    assert names(show="idle") == ["2"]
    assert names(show="nonsense") == names()
    assert names(hide=True) == ["1", "3", "4"]
    assert counts(ports) == {"all": 5, "used": 3, "up": 2, "down": 1, "off": 1, "errors": 1, "idle": 1}


def test_the_worst_comes_first() -> None:
    broken = replace(DOWN, index="9", name="XGE1", alias="上联")
    alerted = replace(DOWN, index="8", name="XGE2", alert="critical")
    faulty = replace(UP, index="7", name="GE7", errors=3.0)
    ports = [DOWN, UP, faulty, broken, alerted]
    assert [p.index for p in sorted(ports, key=SORTS["state"])] == ["8", "9", "7", "1", "2"]
    assert [p.index for p in worth_a_look(ports, 4)] == ["8", "9", "7", "1"]
    uplink = replace(UP, index="6", alias="上联 出口", rate_in=1.0, rate_out=1.0)
    trunk = replace(UP, index="5", name="Eth-Trunk1", rate_in=1e8)
    assert [p.index for p in worth_a_look([UP, trunk, uplink, faulty], 4)] == ["7", "6", "5", "1"]


def test_names_are_sorted_as_people_count() -> None:
    names = ["GE0/0/10", "GE0/0/2", "Eth-Trunk1", "", "10", "GE"]
    assert sorted(names, key=natural) == ["", "10", "Eth-Trunk1", "GE", "GE0/0/2", "GE0/0/10"]


@given(
    st.lists(
        st.builds(
            Port,
            index=st.text(max_size=3),
            name=st.text(max_size=8),
            alias=st.text(max_size=8),
            admin=st.sampled_from(["", "up", "down", "testing"]),
            oper=st.sampled_from(["", "up", "down", "unknown", "notPresent", "lowerLayerDown", "testing"]),
            speed=st.none() | st.floats(0, 1e12),
            rate_in=st.none() | st.floats(0, 1e12),
            errors=st.none() | st.floats(0, 1e6),
        ),
        max_size=12,
    )
)
def test_every_port_has_a_state_and_every_order_holds_them_all(ports: list[Port]) -> None:
    for key in SORTS.values():
        assert sorted(map(id, sorted(ports, key=key))) == sorted(map(id, ports))
    for port in ports:
        assert port.mark != "ok" or port.oper in ("up", "dormant")
        assert sum(port.shown_by(show) for show in SHOWS if show != "errors") == 1


@pytest.mark.parametrize(
    ("name", "group"),
    [("PWR 2", "power"), ("fan 1", "fans"), ("风扇 3", "fans"), ("LPU Board 3", "boards"), ("battery", "battery"),
     ("Physical Disk 0:1", "disks"), ("电源模块 1", "power"), ("something", "other")],
)  # fmt: skip
def test_components_are_grouped_by_their_names(name: str, group: str) -> None:
    assert group_of(name) == group


def test_a_pair_of_lines_shares_a_scale_and_leaves_gaps() -> None:
    area, first, second = spark_pair([0.0, 10.0, None, 5.0], [5.0, 5.0, 5.0, 5.0], 30, 22)
    assert first == "M0.0 21.0 L10.0 1.5 M30.0 11.2 L30.0 11.2"
    assert second.startswith("M0.0 11.2")
    assert area.count("Z") == 2
    assert spark_pair([], [None], 10, 10) == ("", "", "")
    assert spark_pair([0.0, 0.0], [], 10, 10)[1] == "M0.0 9.0 L10.0 9.0"


def test_a_strip_tells_states_by_height_too() -> None:
    assert strip_ticks(["ok", "unknown", "minor", "critical"]) == [
        (0, 0, 16, "ok"),
        (4, 12, 4, "unknown"),
        (8, 4, 12, "minor"),
        (12, 0, 16, "critical"),
    ]

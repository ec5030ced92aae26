"""Root causes: who is explained by whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.model import WHOLE_CITY, Severity
from rules.alerting.interface import AlertFilter, AlertState
from rules.alerting.suppress import Firing, roots_of
from tests.rules.alerting.conftest import World

TREE = {"switch": ("router",), "server": ("switch",), "disk": ("server",)}


def test_everything_downstream_is_explained() -> None:
    firing = [
        Firing(1, "DeviceDown", "server", 5),
        Firing(2, "HighCpu", "router", 1),
        Firing(3, "DeviceDown", "router", 9),
        Firing(4, "DiskFilling", "disk", 2),
        Firing(5, "HighCpu", "elsewhere", 2),
    ]
    assert roots_of(firing, TREE) == {1: 3, 2: 3, 4: 3}


def test_device_down_explains_its_own_uplink() -> None:
    firing = [
        Firing(1, "UplinkDown", "switch", 1),
        Firing(2, "DeviceDown", "switch", 2),
        Firing(3, "X", "server", 2),
    ]
    assert roots_of(firing, TREE) == {1: 2, 3: 2}


def test_the_top_of_a_chain_explains_all_even_by_a_shorter_way() -> None:
    depends = {"x": ("m", "top"), "m": ("mid",), "mid": ("top",)}
    firing = [Firing(1, "A", "x", 0), Firing(2, "DeviceDown", "mid", 0), Firing(3, "DeviceDown", "top", 0)]
    assert roots_of(firing, depends) == {1: 3, 2: 3}


def test_a_cycle_does_no_harm() -> None:
    firing = [Firing(1, "DeviceDown", "a", 0), Firing(2, "DeviceDown", "b", 0)]
    assert roots_of(firing, {"a": ("b",), "b": ("a",)}) == {2: 1}


DEVICES = st.sampled_from("abcdef")


@given(
    st.lists(st.tuples(st.sampled_from(["DeviceDown", "UplinkDown", "X"]), DEVICES), max_size=12),
    st.dictionaries(DEVICES, st.lists(DEVICES, max_size=3).map(tuple), max_size=6),
)
def test_a_root_is_never_itself_explained(
    alerts: list[tuple[str, str]], depends: dict[str, tuple[str, ...]]
) -> None:
    firing = [Firing(i, name, device, 0) for i, (name, device) in enumerate(alerts)]
    roots = roots_of(firing, depends)
    by_id = {alert.id: alert for alert in firing}
    for child, root in roots.items():
        assert root not in roots
        assert by_id[root].name in {"DeviceDown", "UplinkDown"}
        assert child != root
    if any(alert.name != "X" for alert in firing):
        assert set(by_id) - set(roots), "somebody must stand for himself"


def test_on_the_desk(world: World) -> None:
    world.depends = {"server": ("switch",)}
    world.round({("up", "H1/switch"): 0.0, ("cpu", "H1/server"): 1.0})
    world.down("H1/switch", "H1/server")
    views = world.views()
    root = views["DeviceDown", "switch"]
    assert {views["DeviceDown", "server"].root, views["HighCpu", "server"].root} == {root.id}
    assert (root.root, root.suppressed) == (None, 2)
    assert {a.name for a in world.desk.suppressed_under(WHOLE_CITY, root.id)} == {"DeviceDown", "HighCpu"}
    assert dict(world.desk.counts(WHOLE_CITY)) == {
        Severity.CRITICAL: 1,
        Severity.MAJOR: 0,
        Severity.MINOR: 0,
        Severity.INFO: 0,
    }
    assert world.desk.alerts(WHOLE_CITY, AlertFilter(roots_only=True))[1] == 1
    world.round({("up", "H1/switch"): 1.0, ("up", "H1/server"): 0.0})
    freed = world.views()["DeviceDown", "server"]
    assert (freed.root, freed.state) == (None, AlertState.ACTIVE)

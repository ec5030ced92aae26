"""Readings of many devices: what is shared between alike devices is each one's own, whoever comes and goes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.profiles.recipe import Recipe
from collectors.profiles.traced import Cell, Constant, Node, Operation, formula_of
from collectors.snmp.batch.columns import Kitchen

OIDS = [bytes((43, 6, at)) for at in range(6)]
CELLS = 8  # of a device

numbers = st.sampled_from([0.5, 2.0, 100.0])
leaf: st.SearchStrategy[Node] = st.one_of(st.sampled_from([Cell(oid) for oid in OIDS]), numbers.map(Constant))
node: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from([Cell(oid) for oid in OIDS]),
    st.tuples(st.sampled_from("+-*"), leaf, leaf).map(lambda made: Operation(made[0], made[1:])),
)


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Recipe, list[Node], list[tuple[Node, bool]]]:
    nodes = draw(st.lists(node, min_size=1, max_size=5))
    asked = draw(st.lists(st.tuples(leaf, leaf, st.booleans()), max_size=2))
    conditions = [(Operation("<", (left, right)), outcome) for left, right, outcome in asked]
    recipe = Recipe(
        tuple((f"m{at}", ()) for at in range(len(nodes))),
        tuple(formula_of(one) for one in nodes),
        tuple((formula_of(one), outcome) for one, outcome in conditions),
        frozenset(),
    )
    return recipe, nodes, list(conditions)


def worth(node: Node, said: dict[bytes, float]) -> float:
    if isinstance(node, Cell):
        return said[node.oid]
    if isinstance(node, Constant):
        return node.value
    left, right = (worth(part, said) for part in node.parts)
    return {"+": left + right, "-": left - right, "*": left * right, "<": float(left < right)}[node.symbol]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_each_device_has_its_own_readings(data: st.DataObject) -> None:
    menu = data.draw(st.lists(recipes(), min_size=1, max_size=3))
    orders = [data.draw(st.permutations(range(CELLS))) for _ in range(2)]
    kitchen, there = Kitchen(), {}
    for device in data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=30)):
        if there.pop(device, None) is not None:
            kitchen.remove(device)
            continue
        recipe, nodes, conditions = data.draw(st.sampled_from(menu))
        places = dict(zip(OIDS, data.draw(st.sampled_from(orders)), strict=False))
        kitchen.add(device, recipe, device * CELLS, places)
        there[device] = nodes, conditions, places
    kitchen.remove(77)
    cells = np.random.default_rng(1).integers(0, 100, (10, CELLS)).astype(np.float64)
    columns, holds = kitchen.serve(np.array(list(there), np.int64), cells)
    ends = np.cumsum(columns.counts)
    for at, (device, (nodes, conditions, places)) in enumerate(there.items()):
        said = {oid: float(cells[device, place]) for oid, place in places.items()}
        mine = columns.values[ends[at] - columns.counts[at] : ends[at]]
        assert mine.tolist() == [worth(one, said) for one in nodes]
        assert holds[at] == all(bool(worth(one, said)) == outcome for one, outcome in conditions)


def test_readings_are_the_same_when_most_devices_left() -> None:
    kitchen = Kitchen()
    wide = 400
    cells = np.arange(float(30 * wide)).reshape(30, wide)
    places = {bytes((43, at // 100, at % 100)): at for at in range(wide)}
    oids = list(places)
    for device in range(30):
        mine = [*oids[device:], *oids[:device]]  # no two alike
        recipe = Recipe(
            tuple((f"m{at}", ()) for at in range(wide)),
            tuple(formula_of(Cell(oid)) for oid in mine),
            (),
            frozenset(),
        )
        kitchen.add(device, recipe, device * wide, places)
    for device in range(25):
        kitchen.remove(device)
    columns, holds = kitchen.serve(np.arange(25, 30), cells)
    assert holds.all()
    for at, device in enumerate(range(25, 30)):
        assert (
            columns.values[at * wide : (at + 1) * wide].tolist() == np.roll(cells[device], -device).tolist()
        )

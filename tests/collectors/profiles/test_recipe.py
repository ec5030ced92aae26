"""Recipes against the plain reading of the same numbers: for every profile's walk, and for numbers nobody expects."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from collectors.interface import Credential, PollResult, Reading
from collectors.profiles.loader import parse_profile
from collectors.profiles.profile import Profile
from collectors.profiles.read import Report, read_module, summarise
from collectors.profiles.recipe import Recipe, SeriesKey, module_reading, trace
from collectors.profiles.values import number_of
from collectors.snmp.batch.columns import Kitchen
from collectors.snmp.ber import (
    COUNTER64,
    GAUGE32,
    INTEGER,
    NUMERIC,
    OCTET_STRING,
    OPAQUE,
    Oid,
    Typed,
    encode_index,
    encode_oid,
)
from collectors.snmp.poller import Snapshot, SnmpPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from tests.collectors.profiles.test_walks import BLOCKS, PROFILES, WALKS
from tests.collectors.snmp.agents import RecordedAgent, UdpAgent, read_snmprec

TRACED = sorted(
    name for name, profile in PROFILES.items() if all(module.reader is None for module in profile.modules)
)


@cache
def read(name: str) -> tuple[PollResult, Snapshot]:
    """The plain reading of a walk, and what the device said."""
    with UdpAgent(RecordedAgent(read_snmprec(WALKS / f"{name}.snmprec")).handle) as agent:
        access = SnmpAccess("c", port=agent.port, profile=name if name in BLOCKS else "auto")
        device = Device(DeviceId(name), SiteId("s"), name, Kind.NETWORK, agent.host, snmp=access)
        poller = SnmpPoller(SystemClock(), PROFILES)
        result, snapshot = poller.read(device, Credential("snmp-v2c", community="public"))
    assert snapshot is not None
    return result, snapshot


@cache
def recipe_of(name: str) -> Recipe:
    snapshot = read(name)[1]
    recipe = trace(snapshot.profile, snapshot.scalars, snapshot.columns, snapshot.failed)
    assert recipe is not None
    return recipe


def said(snapshot: Snapshot) -> Iterator[tuple[Oid, Typed]]:
    yield from snapshot.scalars.items()
    for column, rows in snapshot.columns.items():
        for index, typed in rows.items():
            yield column + index, typed


def changed(snapshot: Snapshot, numbers: Mapping[Oid, Typed]) -> Snapshot:
    """The snapshot with other values."""
    return Snapshot(
        snapshot.profile,
        {oid: numbers.get(oid, typed) for oid, typed in snapshot.scalars.items()},
        {
            column: {index: numbers.get(column + index, typed) for index, typed in rows.items()}
            for column, rows in snapshot.columns.items()
        },
        snapshot.failed,
    )


def plainly(snapshot: Snapshot) -> dict[SeriesKey, float]:
    report = Report()
    for module in snapshot.profile.modules:
        read_module(module, snapshot.scalars, snapshot.columns, report)
        report.readings.append(module_reading(module.name, ok=module.name not in snapshot.failed))
    summarise(report)
    return series_of(report.readings)


def series_of(readings: list[Reading] | tuple[Reading, ...]) -> dict[SeriesKey, float]:
    """Of a series that is given twice the first counts."""
    return {(one.name, one.labels): one.value for one in reversed(readings)}


def cooked(recipe: Recipe, snapshot: Snapshot) -> dict[SeriesKey, float] | None:
    """The recipe's readings for what was said, None when they do not hold."""
    numbers = {oid: number_of(typed) for oid, typed in said(snapshot)}
    cells = np.array([np.nan, *(np.nan if one is None else one for one in numbers.values())], np.float64)
    kitchen = Kitchen()
    kitchen.add(7, recipe, 1, {oid: at for at, oid in enumerate(numbers)})
    columns, holds = kitchen.serve(np.array([7]), cells)
    assert columns.counts.tolist() == [len(recipe.series)]
    if not holds[0]:
        return None
    return dict(zip(recipe.series, columns.values.tolist(), strict=True))


def test_most_profiles_can_be_traced() -> None:
    assert len(TRACED) >= len(PROFILES) - 1


@pytest.mark.parametrize("name", TRACED)
def test_the_same_numbers_give_the_plain_readings(name: str) -> None:
    result, snapshot = read(name)
    recipe = recipe_of(name)
    found = cooked(recipe, snapshot)
    assert found == series_of(list(result.readings))
    assert len(set(recipe.series)) == len(recipe.series)
    assert recipe.cells <= dict(said(snapshot)).keys()


def sentinels(profile: Profile) -> list[int]:
    texts = {text for module in profile.modules for some in module.absent.values() for text in some}
    numbers = [number_of((OCTET_STRING, text.encode())) for text in sorted(texts)]
    return [int(one) for one in numbers if one is not None]


RANGES = {INTEGER: (-(2**31), 2**31 - 1), COUNTER64: (0, 2**64 - 1)}


def values_of(tag: int, now: int, likely: list[int]) -> st.SearchStrategy[Typed]:
    low, high = RANGES.get(tag, (0, 2**32 - 1))
    near = (*likely, 0, 1, 2, 99, 100, 101, 255, 2**31 - 1, now - 1, now + 1, now, low, high)
    some = sorted({one + by for one in near for by in (-1, 0, 1) if low <= one + by <= high})
    return st.one_of(st.sampled_from(some), st.integers(low, high)).map(lambda number: (tag, number))


TEXTS = st.one_of(
    st.integers(-1000, 1000).map(str),
    st.floats(-100, 100).map(lambda number: f"{number:.2f} C"),
    st.sampled_from(["", "N/A", "0", "-1", "1e5", "12 parsecs", "7kB", " 8 ", "not present"]),
).map(lambda text: (OCTET_STRING, text.encode()))


@pytest.mark.parametrize("name", TRACED)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_other_numbers_give_the_plain_readings_or_do_not_hold(name: str, data: st.DataObject) -> None:
    snapshot, recipe = read(name)[1], recipe_of(name)
    likely = sentinels(snapshot.profile)
    moving = [(oid, typed) for oid, typed in said(snapshot) if typed[0] in NUMERIC or oid in recipe.measured]
    many = data.draw(st.integers(1, max(1, min(4, len(moving)))))
    picked = data.draw(st.lists(st.sampled_from(moving), min_size=many, max_size=many))
    other = {}
    for oid, (tag, value) in picked:
        drawn = values_of(tag, value, likely) if isinstance(value, int) else TEXTS
        other[oid] = data.draw(drawn)
    now = changed(snapshot, other)
    found = cooked(recipe, now)
    event("does not hold" if found is None else "holds")
    if found is not None:
        assert found == plainly(now)


@pytest.mark.parametrize("name", TRACED)
def test_small_steps_of_counters_hold(name: str) -> None:
    """What always moves must not break a recipe, or nothing is ever polled in a batch."""
    snapshot, recipe = read(name)[1], recipe_of(name)
    moved: dict[Oid, Typed] = {
        oid: (tag, value + 1)
        for oid, (tag, value) in said(snapshot)
        if tag in NUMERIC - {INTEGER, GAUGE32} and isinstance(value, int) and 0 < value < 2**32 - 1
    }
    now = changed(snapshot, moved)
    assert cooked(recipe, now) == plainly(now)


NASTY = """\
name: nasty
modules:
  words:
    columns:
      a: 1.3.6.1.4.1.9.1.1.1
      b: 1.3.6.1.4.1.9.1.1.2
      t: 1.3.6.1.4.1.9.1.1.3
      o: 1.3.6.1.4.1.9.1.1.4
      key: 1.3.6.1.4.1.9.1.1.5
    lookups:
      other: {column: 1.3.6.1.4.1.9.2.1.1, by: "{key}"}
    extracts:
      first: {from: a, as: octets}
      octets: {from: t, as: octets}
      digits: {from: t, regex: '^(\\d+)'}
    maps:
      factor: {from: b, values: {"1": "0.001", "2": "1000", "3": "x"}}
    absent:
      a: ["-1", "18446744073709551615", "65535"]
      t: ["N/A", "-1", "0 rpm"]
    rows:
      - kind: metrics
        labels: {index: "{index}"}
        values:
          power: a ** b
          small: 10 ** a
          ratio: a / b
          level: 10 * log10(a)
          least: min(a, b)
          most: max(t, o)
          chosen: a if t != 5 else b
          either: a or t or b
          mixed: a * factor + other - -b
          huge: a * 1e300 * b
          first: first + octets
      - {kind: sensor, name: "text {t}", class: temperature, value: t, when: a > 100}
      - {kind: sensor, name: "digits {digits}", class: voltage, value: o * 2}
      - {kind: sensor, name: "none", class: current, value: b, when_missing: t}
      - {kind: storage, name: "store {index}", used: a, size: b * 1e300, percent: t}
      - {kind: memory, name: ram, used: a, free: b}
      - {kind: processor, name: cpu, percent: t}
      - {kind: component, name: "part {index}", state: "{b}", states: {"1": ok, "2": critical, "3": absent}}
"""


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    path = tmp_path_factory.mktemp("profiles") / "nasty.yml"
    path.write_text(NASTY, "utf-8")
    return parse_profile(path).profile


def opaque(number: float) -> Typed:
    return OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", number)


NUMBER = st.one_of(
    st.integers(-5, 110),
    st.sampled_from([-1, 65534, 65535, 65536, 2**53, 2**53 + 1, 2**64 - 1, 2**64 - 2, 2**63, -(2**31)]),
    st.integers(0, 2**64 - 1),
)
CELLS: dict[int, st.SearchStrategy[Typed]] = {
    1: NUMBER.map(lambda number: (COUNTER64 if number >= 0 else INTEGER, number)),
    2: st.one_of(st.integers(-3, 4), st.integers(-(2**31), 2**31 - 1)).map(lambda number: (INTEGER, number)),
    3: st.one_of(TEXTS, st.sampled_from(["-1.0", "-1", "0", "0rpm", "5", "5.0", "5 C", "60"]).map(
        lambda text: (OCTET_STRING, text.encode())
    )),
    4: st.floats(width=32).map(opaque),
    5: st.integers(0, 2).map(lambda number: (INTEGER, number)),
}  # fmt: skip
ENTRY = encode_oid("1.3.6.1.4.1.9.1.1")
OTHER = encode_oid("1.3.6.1.4.1.9.2.1.1")


def has_tag(tag: int, typed: Typed) -> bool:
    return typed[0] == tag


@st.composite
def nasty_pairs(draw: st.DrawFn) -> tuple[dict[Oid, dict[bytes, Typed]], dict[Oid, dict[bytes, Typed]]]:
    """What a device says twice: the same objects of the same types, other numbers, some other texts."""
    before: dict[Oid, dict[bytes, Typed]] = {}
    after: dict[Oid, dict[bytes, Typed]] = {}
    cells = {**{ENTRY + bytes((at,)): some for at, some in CELLS.items()}, OTHER: CELLS[2]}
    for column, some in cells.items():
        before[column], after[column] = {}, {}
        for row in range(draw(st.integers(0, 2))):
            index = encode_index((row,))
            first = before[column][index] = draw(some)
            same = some.filter(partial(has_tag, first[0]))
            after[column][index] = draw(st.one_of(st.just(first), st.just(first), st.just(first), same))
    return before, after


@settings(max_examples=300, deadline=None)
@given(pair=nasty_pairs())
def test_a_nasty_profile_does_not_hold_when_it_must_not(
    nasty: Profile, pair: tuple[dict[Oid, dict[bytes, Typed]], dict[Oid, dict[bytes, Typed]]]
) -> None:
    before, after = (Snapshot(nasty, {}, columns) for columns in pair)
    try:
        plain = plainly(before)
    except OverflowError:
        return
    recipe = trace(nasty, {}, before.columns)
    assert recipe is not None
    assert sorted(recipe.series) == sorted(plain)
    told = dict(said(after))
    for oid, typed in said(before):
        if typed[0] not in NUMERIC and oid not in recipe.measured:
            told[oid] = typed  # another text would be seen on the wire
    now = changed(after, told)
    found = cooked(recipe, now)
    event("does not hold" if found is None else "holds" if told != dict(said(before)) else "the same")
    if found is not None:
        assert found == plainly(now)


def test_a_table_of_a_thousand_processors() -> None:
    profile = PROFILES["host-resources"]
    load = encode_oid("1.3.6.1.2.1.25.3.3.1.2")
    before = Snapshot(profile, {}, {load: {encode_index((at,)): (INTEGER, at % 90) for at in range(1000)}})
    after = Snapshot(profile, {}, {load: {encode_index((at,)): (INTEGER, at % 80) for at in range(1000)}})
    recipe = trace(profile, {}, before.columns)
    assert recipe is not None
    assert ("device_cpu_ratio", ()) in recipe.series
    assert cooked(recipe, after) == plainly(after)


def test_what_is_not_read_whole_says_so() -> None:
    snapshot = read("generic-if")[1]
    module = snapshot.profile.modules[0].name
    recipe = trace(snapshot.profile, snapshot.scalars, snapshot.columns, {module})
    assert recipe is not None
    readings = cooked(recipe, snapshot)
    assert readings is not None
    assert readings["snmp_module_up", (("module", module),)] == 0.0


def test_a_profile_of_another_kind_is_not_traced() -> None:
    profile = Profile("x", (), {}, (replace(PROFILES["generic-if"].modules[0], reader=lambda *_: []),))
    assert trace(profile, {}, {}) is None

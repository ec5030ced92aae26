"""The loader refuses what it does not know, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import collectors.profiles
from collectors.profiles.loader import load_profiles, parse_profile
from monitor.errors import InputError

GOOD = """\
name: {name}
match:
  - {{sys_object_id: 1.3.6.1.4.1.1}}
identity:
  vendor: Somebody
modules:
  cpu:
    scalars: {{load: 1.3.6.1.4.1.1.1.0}}
    emit:
      - {{kind: processor, name: system, percent: load}}
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yml").write_text(text, "utf-8")


def test_shipped_profiles_load() -> None:
    profiles = load_profiles()
    assert {"generic", "generic-if", "huawei-vrp", "h3c-comware", "ups-rfc1628"} <= set(profiles)


def test_extends_merges_modules_and_identity(tmp_path: Path) -> None:
    write(tmp_path, "base", GOOD.format(name="base"))
    child = "name: child\nextends: base\nidentity: {vendor: Other, os: X}\nmodules:\n  more: {}\n"
    write(tmp_path, "child", child)
    profiles = load_profiles(tmp_path)
    assert [module.name for module in profiles["child"].modules] == ["cpu", "more"]
    assert [source.value for source in profiles["child"].identity["vendor"]] == ["Other", "Somebody"]
    assert profiles["child"].matches == ()
    write(tmp_path, "child", child.replace("more", "cpu"))
    assert load_profiles(tmp_path)["child"].modules[0].emit == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: {name}", "name: other", 1, "name must be bad"),
        ("identity:", "identity2:", 4, "key identity2 is not known"),
        ("  vendor: Somebody", "  vendor: A\n  vendor: B", 6, "given twice"),
        ("  vendor: Somebody", "  colour: red", 5, "key colour is not known"),
        ("  vendor: Somebody", "  vendor: {{oid: 1.3.6.1.2.1.1.1.0, regex: '('}}", 5, "regular expression"),
        ("1.3.6.1.4.1.1.1.0", "ifDescr.1", 8, "not an object identifier"),
        ("kind: processor", "kind: procesor", 10, "kind procesor is not known"),
        ("percent: load", "percent: lod", 8, "lod is not defined in module cpu"),
        ("percent: load", "percent: __import__(load)", 10, "uses something else"),
        ("percent: load", "percent: 'load +'", 10, "is not a formula"),
        ("percent: load", "ratio: load", 10, "key ratio is not known"),
        (
            "kind: processor, name: system, percent: load",
            "kind: sensor, name: x, value: load",
            10,
            "has a class",
        ),
        (
            "kind: processor, name: system, percent: load",
            "kind: sensor, name: x, class: smell, value: load",
            10,
            "class smell is not known",
        ),
        (
            "kind: processor, name: system, percent: load",
            "kind: component, state: '{{load}}', states: {{1: fine}}",
            10,
            "state fine is not one of",
        ),
        (
            "kind: processor, name: system, percent: load",
            "kind: metrics, values: {{a-b: load}}",
            10,
            "not a metric name",
        ),
        ("  cpu:", "  9cpu:", 8, "not a module name"),
        ("identity:", "identity: [", 6, "not YAML"),
        ("match:", "extends: nobody\nmatch:", 2, "profile nobody does not exist"),
        ("match:", "extends: bad\nmatch:", 2, "extend each other"),
        ("  vendor: Somebody", "  vendor: [", None, "not YAML"),
        ("{{load: 1.3.6.1.4.1.1.1.0}}", "&x {{load: 1.3.6.1.4.1.1.1.0}}\n    columns: *x", None, "aliases"),
        ("{{load: 1.3.6.1.4.1.1.1.0}}", "{{Load: 1.3.6.1.4.1.1.1.0}}", 8, "cannot be an alias"),
        (
            "{{load: 1.3.6.1.4.1.1.1.0}}",
            "{{load: 1.3.6.1.4.1.1.1.0, index: 1.3.6.1.4.1.1.2.0}}",
            8,
            "defined twice",
        ),
        ("name: system", "name: 'cpu {{Load}}'", 10, "braces that are no hole"),
        ("name: system, ", "", 10, "from scalars has a name"),
        (", percent: load", "", 10, "has percent"),
        ("percent: load", "percent: load, states: {{1: ok}}", 10, "add state"),
        ("percent: load", "percent: load, when: 'load >'", 10, "is not a formula"),
        ("kind: processor, name: system, percent: load", "kind: interface", 10, "move it from emit to rows"),
        ("    emit:", "    rows:", 8, "has rows but no columns"),
        (
            "    emit:",
            "    maps: {{a: {{from: b, values: {{}}}}, b: {{from: a, values: {{}}}}}}\n    emit:",
            8,
            "by each other: a -> b -> a",
        ),
        ("    emit:", "    extracts: {{a: {{from: load}}}}\n    emit:", 9, "has from, and regex or as"),
        ("    emit:", "    extracts: {{a: {{from: load, as: roman}}}}\n    emit:", 9, "roman is not a form"),
        ("    emit:", "    lookups: {{a: {{column: 1.3.6.1}}}}\n    emit:", 9, "has column and by"),
        (
            "    emit:",
            "    lookups: {{a: {{column: 1.3.6.1, by: '{{gone}}'}}}}\n    emit:",
            8,
            "gone is not defined",
        ),
        ("  - {{sys_object_id: 1.3.6.1.4.1.1}}", "  - {{}}", 3, "a match has"),
        ("  vendor: Somebody", "  vendor: {{value: x}}", 5, "or has oid or column"),
        ("  vendor: Somebody", "  vendor: {{oid: 1.3.6.1, column: 1.3.6.2}}", 5, "not both"),
        ("  vendor: Somebody", "  vendor: {{column: 1.3.6.2, equals: [a]}}", 5, "belong together"),
        ("  vendor: Somebody", "  vendor: {{oid: 1.3.6.1, regex: '" + "a" * 400 + "'}}", 5, "at most 300"),
        (
            "  vendor: Somebody",
            "  vendor: {{oid: 1.3.6.1, regex: 'a{{99999999999}}'}}",
            5,
            "not valid here|regular",
        ),
        ("identity:", "x: " + "[" * 30 + "]" * 30 + "\nidentity:", 4, "levels deep"),
        (GOOD, "", 1, "empty"),
        (GOOD, "- a", 1, "a mapping is required"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    assert old in GOOD
    write(tmp_path, "bad", GOOD.replace(old, new).format(name="bad"))
    with pytest.raises(InputError, match=message) as caught:
        load_profiles(tmp_path)
    place = f"bad.yml:{line}" if line else "bad.yml"
    assert place in caught.value.where


def test_size_cap(tmp_path: Path) -> None:
    write(tmp_path, "big", GOOD.format(name="big") + "#" * 70_000)
    with pytest.raises(InputError, match="at most"):
        load_profiles(tmp_path)


def test_an_empty_source_at_the_end_keeps_inherited_ones_out(tmp_path: Path) -> None:
    write(tmp_path, "base", GOOD.format(name="base"))
    write(
        tmp_path, "child", 'name: child\nextends: base\nidentity: {vendor: [{oid: 1.3.6.1.4.1.9.1.0}, ""]}\n'
    )
    sources = load_profiles(tmp_path)["child"].identity["vendor"]
    assert [source.value for source in sources] == ["", ""]


def test_chains_of_extends_are_bounded(tmp_path: Path) -> None:
    for at in range(12):
        write(tmp_path, f"p{at}", f"name: p{at}\nextends: p{at + 1}\n")
    write(tmp_path, "p12", "name: p12\n")
    with pytest.raises(InputError, match="levels deep") as caught:
        load_profiles(tmp_path)
    assert ".yml:2" in caught.value.where


SHIPPED = sorted(Path(collectors.profiles.__file__).parent.glob("*.yml"))
PIECES = st.sampled_from(
    [
        "[",
        "{",
        "}",
        "]",
        ":",
        "- ",
        "&a ",
        "*a",
        "!!python/object:os.system",
        "\t",
        "\n",
        "'",
        '"',
        "{x}",
        "\x00",
        "é",
        "|",
        "<<: ",
        "? ",
        "%",
        "@",
        "1e999",
        "~",
        "\ud800",
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_mangled_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SHIPPED))
    text = path.read_text("utf-8")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 40))
        text = text[:at] + data.draw(PIECES | st.text(max_size=6)) + text[at + gone :]
    mangled = tmp_path / path.name
    mangled.write_bytes(text.encode("utf-8", "surrogatepass"))
    places: list[str] = []
    try:
        parse_profile(mangled)
    except InputError as error:
        places.append(error.where)
    assert all(str(mangled) in place for place in places)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_octets_are_a_profile_or_an_error_with_its_place(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(octets)
    with pytest.raises(InputError) as caught:
        parse_profile(path)
    assert str(path) in caught.value.where

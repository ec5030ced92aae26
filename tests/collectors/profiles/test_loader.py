"""The loader refuses what it does not know, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.profiles.loader import load_profiles
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
        ("kind: processor, name: system, percent: load", "kind: sensor, value: load", 10, "has a class"),
        (
            "kind: processor, name: system, percent: load",
            "kind: sensor, class: smell, value: load",
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
    write(tmp_path, "child", 'name: child\nextends: base\nidentity: {vendor: [{oid: 1.3.6.1.4.1.9.1.0}, ""]}\n')
    sources = load_profiles(tmp_path)["child"].identity["vendor"]
    assert [source.value for source in sources] == ["", ""]

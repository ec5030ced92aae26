"""The shipped trap library, and mistakes in one: each named with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collectors.receivers.library import Sentence, load_library
from monitor.errors import InputError
from monitor.model import Severity

SHIPPED = Path(load_library.__code__.co_filename).parent / "library"
HAN = re.compile(r"[一-鿿]")


def test_every_shipped_trap_is_told_in_both_languages() -> None:
    library = load_library()
    templates = [*library.traps.values(), *library.families.values()]
    assert len(templates) > 200
    for template in templates:
        assert HAN.search(template.zh.text), template.name
        assert not HAN.search(template.en.text), template.name
        holes = [set(re.findall(r"\{([^}]+)\}", text)) for text in (template.zh.text, template.en.text)]
        assert holes[0] == holes[1], f"{template.name} tells different things in its two languages"


def test_what_clears_a_condition_has_something_that_raises_it() -> None:
    templates = load_library().traps.values()
    raised = {(template.pair, template.by) for template in templates if template.state == "raise"}
    cleared = {(template.pair, template.by) for template in templates if template.state == "clear"}
    assert cleared <= raised, cleared - raised


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda path: path.name)
def test_each_file_stands_alone(path: Path, tmp_path: Path) -> None:
    (tmp_path / path.name).write_bytes(path.read_bytes())
    library = load_library(tmp_path)
    assert library.traps
    known = {fact.name for fact in load_library().objects.values()}
    assert {fact.name for fact in library.objects.values()} <= known


GOOD = """\
vendor: X
traps:
  - oid: 1.3.6.1.4.1.99999.0.1
    name: xFail
    severity: major
    zh: 故障
    en: fault
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("vendor: X\n", "", 1, "vendor"),
        ("major", "terrible", 5, "severity"),
        ("1.3.6.1.4.1.99999.0.1", "1.3.x", 3, "object identifier"),
        ("    en: fault\n", "", 3, "en is missing"),
        ("故障", '"故障 {a"', 6, "holes"),
        ("故障", '"故障 [a [b]]"', 6, "holes"),
        ("name: xFail", "name: x fail", 4, "not a name"),
        ("name: xFail", "nome: xFail", 4, "not known"),
        ("name: xFail", "name: xFail\n    name: y", 5, "twice"),
        ("    en: fault\n", "    en: fault\n    raises: a\n    clears: a\n", 9, "not both"),
        ("    en: fault\n", "    en: fault\n    by: [a]\n", 8, "by belongs"),
        ("    en: fault\n", "    en: fault\n    severity_of: a\n", 3, "together"),
        ("traps:\n", "objects:\n  - {oid: 1.3.6, name: a, kind: odd}\ntraps:\n", 3, "kind is one of"),
        ("traps:\n", "objects:\n  - {oid: 1.3.6, name: a, enum: {x: y}}\ntraps:\n", 3, "not a number"),
        ("traps:\n", "traps: 3\nother:\n", 3, "not known"),
        ("vendor: X", "vendor: *x", 1, "aliases"),
        ("vendor: X", "vendor: [", 3, "not YAML"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, old: str, new: str, line: int, word: str) -> None:
    path = tmp_path / "x.yml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError) as caught:
        load_library(tmp_path)
    assert word in str(caught.value)
    assert caught.value.where == f"{path}:{line}"


def test_one_oid_is_described_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD, "utf-8")
    (tmp_path / "b.yml").write_text(GOOD.replace("xFail", "yFail"), "utf-8")
    with pytest.raises(InputError, match="xFail has already"):
        load_library(tmp_path)


def test_a_file_that_is_too_big_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# " + "x" * 300_000)
    with pytest.raises(InputError, match="at most"):
        load_library(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": "1", "b": "2"}, "A 1 (2)"),
        ({"a": "1"}, "A 1"),
        ({}, "A ?"),
        ({"c": "3", "b": ""}, "A 3"),
        ({"a": "{b}", "b": "[x]"}, "A {b} ([x])"),
    ],
)
def test_sentences(values: dict[str, str], said: str) -> None:
    assert Sentence("A {a|c}[ ({b})]").filled(values) == said


def test_severity_can_come_from_a_varbind() -> None:
    template = load_library().traps
    fan = next(one for one in template.values() if one.name == "ciscoEnvMonFanStatusChangeNotif")
    assert fan.weighed({"ciscoEnvMonFanState": "normal"}) == (Severity.INFO, "clear")
    assert fan.weighed({"ciscoEnvMonFanState": "critical"}) == (Severity.MAJOR, "raise")
    assert fan.weighed({}) == (Severity.MAJOR, "raise")

"""Every shipped check loads, passes its own tests and stays small; the loader lets nothing else through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.model import Kind
from playbooks.checking import failed_tests
from playbooks.formats import canonical, sha256_of
from playbooks.loader import Library, load_check, load_engagement, load_suite
from playbooks.steps.interface import installed_steps
from playbooks.yamltree import MAX_BYTES, parse
from tests.playbooks.world import check, engagement, plant_suite, window

STEPS = installed_steps()
LIBRARY = Library(STEPS)


@pytest.mark.parametrize("name", sorted(LIBRARY.checks))
def test_a_shipped_check_passes_its_own_tests(name: str) -> None:
    found = LIBRARY.checks[name]
    assert failed_tests(found) == []
    assert Kind.MEDICAL in found.not_kind
    assert found.max_packets <= 40
    assert found.mlps


def test_suites_name_the_design_s_checks() -> None:
    assert {"exposure-basic", "tls-ssh-weak", "snmp-weak"} <= set(LIBRARY.suites)
    assert {"redis-unauth", "tls-weak", "ssh-kex", "snmp-default-community"} <= set(LIBRARY.checks)


def test_only_the_snmp_check_tries_a_credential() -> None:
    assert [c.id for c in LIBRARY.checks.values() if c.safety == "auth-probe"] == ["snmp-default-community"]


def edited(text: str, edit: object) -> str:
    data = yaml.safe_load(text)
    edit(data)  # type: ignore[operator]
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d.update(safety="intrusive"), "refused"),
        (lambda d: d.update(safety="exploit"), "refused"),
        (lambda d: d.pop("safety"), "missing safety"),
        (lambda d: d.update(payload="x"), "unknown key"),
        (lambda d: d["tcp"][0].update(port=0), "not a port"),
        (lambda d: d["tcp"][0].update(port="{{nowhere}}"), "no input fills"),
        (lambda d: d["tcp"][0].update(matchers=[]), "at least one"),
        (lambda d: d["tcp"][0].update(matchers=[{"type": "dsl", "dsl": ["1"]}]), "not one of"),
        (lambda d: d["tcp"][0].update(matchers=[{"type": "regex", "regex": ["(a"]}]), "regular expression"),
        (lambda d: d["tcp"][0].update(matchers=[{"type": "binary", "binary": ["zz"]}]), "hexadecimal"),
        (lambda d: d["tcp"][0].update(inputs=[{"data": "中"}]), "characters up to"),
        (lambda d: d["tcp"][0].update(communities=["x"]), "unknown key"),
        (lambda d: d.update(tls=[{"port": 1, "matchers": []}]), "exactly one protocol"),
        (lambda d: d.update(tests=[{"given": "x", "expect": "pass"}]), "expects finding"),
        (lambda d: d["info"].update(severity="high"), "not one of"),
        (lambda d: d["info"]["metadata"].update({"max-request": 0}), "not within"),
        (lambda d: d.update(id="../x"), "identifier"),
        (lambda d: d["evidence"].update(keep=["response-99999"]), "response-N"),
        (
            lambda d: d["tcp"].extend(json.loads(json.dumps(dict(d["tcp"][0], port=n))) for n in range(1, 6)),
            "max-request",
        ),
    ],
)
def test_a_wrong_check_is_refused_with_file_and_line(edit: object, says: str) -> None:
    text = edited(check("redis", 6379), edit)
    with pytest.raises(InputError, match=says) as caught:
        load_check(text, "redis.yml", STEPS)
    assert caught.value.where.startswith("redis.yml:")


def test_the_line_is_the_right_one() -> None:
    text = check("redis", 6379)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if row.startswith("safety:"))
    with pytest.raises(InputError) as caught:
        load_check(text.replace("safety: safe", "safety: aggressive"), "redis.yml", STEPS)
    assert caught.value.where == f"redis.yml:{line}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "x" * MAX_BYTES, "larger than"),
        ("[" * 50 + "]" * 50, "deeper"),
        ("[" * 100_000, "deeper"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system ['true']", "tags"),
        ("a: 1\n---\nb: 2", "one document"),
        ("a: [1", "not valid YAML"),
        ("", "empty"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_hostile_yaml_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(text, "f.yml")


@given(st.text(max_size=200) | st.from_regex(r"[a-z]{1,9}: [\[{&*!|>'\"a-z0-9 ]{0,20}", fullmatch=True))
def test_any_text_is_a_document_or_an_input_error(text: str) -> None:
    where = "f.yml"
    try:
        parse(text, "f.yml").fields(frozenset({"engagement"}))
    except InputError as error:
        where = error.where
    assert where.startswith("f.yml")


def test_duplicate_keys_are_refused() -> None:
    with pytest.raises(InputError, match="duplicate"):
        parse("a: 1\na: 2", "f.yml").entries()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "attack"}, "not one of"),
        ({"approvers": [{"user": "b", "site": "H012"}]}, "two different"),
        ({"approvers": [{"user": "b", "site": "H012"}, {"user": "b", "site": "city"}]}, "two different"),
        ({"approvers": [{"user": "b", "site": "H012"}, {"user": "a", "site": "city"}]}, "cannot approve"),
        ({"scope": {"include": []}}, "must name"),
        ({"scope": {"include": ["everything"]}}, "neither"),
        ({"scope": {"include": ["127.0.0.1/8"]}}, "neither"),
        ({"scope": {"include": ["site:"]}}, "neither"),
        ({"scope": {"include": ["site:H012"], "ignore_do_not_probe": True}}, "unknown key"),
        ({"limits": {"pps": 100}}, "missing"),
        (
            {"limits": {"pps": 10**9, "per_host_pps": 1, "concurrent_hosts": 1, "max_packets": 1}},
            "not within",
        ),
        ({"suite": []}, "at least one"),
        ({"stop_if": ["never"]}, "no stop condition"),
        ({"stop_if": ["alert_severity: mild"]}, "no stop condition"),
        ({"authorisation": {"document_sha256": "x", "window": window()}}, "64 lower-case"),
        ({"authorisation": {"document_sha256": "ab" * 32, "window": window(5, 5)}}, "after"),
        ({"authorisation": {"document_sha256": "ab" * 32, "window": window(0, 10**12)}}, "a year"),
        ({"authorisation": {"document_sha256": "ab" * 32, "window": window(days=["someday"])}}, "not one of"),
        (
            {
                "authorisation": {
                    "document_sha256": "ab" * 32,
                    "window": {"from": "2026-11-21T01:00:00", "to": "x"},
                }
            },
            "UTC offset",
        ),
        ({"credentials": {"default_creds": {"enabled": True}}}, "missing"),
        ({"requester": None}, "missing requester"),
    ],
)
def test_a_wrong_engagement_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load_engagement(engagement(**changes), "e.yml")
    assert caught.value.where.startswith("e.yml:")


def test_an_engagement_reads_as_it_is_written() -> None:
    loaded = load_engagement(engagement(stop_if=["device_down_in_scope", "loss_over: 2%"]), "e.yml")
    assert loaded.window.days == (1, 2, 3, 4, 5, 6, 7)
    assert [c.ratio for c in loaded.stop_if] == [0.0, 0.02]
    assert not loaded.credentials.enabled


def test_layout_does_not_change_the_canonical_form_but_content_does() -> None:
    text = engagement()
    flow = yaml.safe_dump(yaml.safe_load(text), default_flow_style=True)
    same, other = load_engagement(flow, "b.yml"), load_engagement(engagement(title="x"), "c.yml")
    first = sha256_of(canonical(load_engagement(text, "a.yml")))
    assert sha256_of(canonical(same)) == first != sha256_of(canonical(other))


def test_a_broken_file_of_the_data_folder_does_not_take_the_library_down(tmp_path: Path) -> None:
    plant_suite(tmp_path, {"mine": check("mine", 6379), "broken": "id: ["})
    (tmp_path / "playbooks" / "checks" / "shadow.yml").write_text(check("redis-unauth", 1), "utf-8")
    library = Library(STEPS, [tmp_path / "playbooks"])
    assert "mine" in library.checks
    assert library.checks["redis-unauth"].exchanges[0].port == 6379
    assert "planted" not in library.suites  # it names a check that does not exist


def test_a_suite_lists_each_check_once() -> None:
    with pytest.raises(InputError, match="each once"):
        load_suite("suite: s\nname: s\nchecks: [a, a]", "s.yml")

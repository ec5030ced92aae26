"""Every file of the corpus gets the same verdict and exit code from us and from Debian's promtool.

`ok-` files pass and `bad-` files fail with both. What is here needs nothing newer than Prometheus 2.42 and no
sample on the edge of a range, where Prometheus 3, as we, leaves out what 2.42 takes in.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.alerting.cli import rules

CORPUS = Path(__file__).with_name("corpus")
FILES = [(kind, path) for kind in ("check", "test") for path in sorted((CORPUS / kind).glob("*.yml"))]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_same_verdict_as_promtool(kind: str, path: Path) -> None:
    expected = int(path.stem.startswith("bad-"))
    ours = CliRunner().invoke(rules, [kind, str(path)])
    theirs = subprocess.run(["promtool", kind, "rules", path], capture_output=True, text=True, check=False)
    assert theirs.returncode == expected, theirs.stderr
    assert ours.exit_code == expected, ours.output
    assert ("FAILED" in ours.output, "SUCCESS" in ours.output) == (bool(expected), not expected)


def test_the_corpus_is_wide() -> None:
    for kind in ("check", "test"):
        names = [path.stem for found, path in FILES if found == kind]
        assert sum(name.startswith("ok-") for name in names) >= 20
        assert sum(name.startswith("bad-") for name in names) >= 40


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind, path in FILES if path.stem.startswith("bad-")],
    ids=lambda v: getattr(v, "stem", v),
)
def test_every_fault_names_its_place(kind: str, path: Path) -> None:
    output = CliRunner().invoke(rules, [kind, str(path)]).output
    rule_failed = "rule:" in output  # an evaluation that fails has a rule and a time instead
    assert rule_failed or re.search(rf"{re.escape(str(CORPUS))}/\S+\.yml:\d+", output), output


def test_lint_can_be_fatal_or_off() -> None:
    path = str(CORPUS / "check" / "ok-duplicate-rules.yml")
    for options in ([], ["--lint-fatal"], ["--lint=none", "--lint-fatal"], ["--lint=all"]):
        ours = CliRunner().invoke(rules, ["check", *options, path])
        theirs = subprocess.run(
            ["promtool", "check", "rules", *options, path], capture_output=True, check=False
        )
        assert ours.exit_code == theirs.returncode
        assert ("duplicate rule" in ours.output) == ("--lint=none" not in options)


def test_what_only_newer_promtools_know(tmp_path: Path) -> None:
    """Group labels, query_offset, fuzzy_compare and the default of `interval` came after 2.42."""
    (tmp_path / "r.yml").write_text(
        "groups:\n- name: g\n  query_offset: 1m\n  labels: {team: net}\n  rules:\n  - record: y\n    expr: x\n"
    )
    test = tmp_path / "t.yml"
    test.write_text(
        "rule_files: [r.yml]\nfuzzy_compare: true\nevaluation_interval: 30s\ntests:\n"
        "- input_series: [{series: x, values: 1 2 3 4 5}]\n"
        "  promql_expr_test:\n"
        "  - {expr: y, eval_time: 2m, exp_samples: [{labels: 'y{team=\"net\"}', value: 3}]}\n"
        "  - {expr: 0.1 + 0.2, eval_time: 0s, exp_samples: [{value: 0.3}]}\n"
    )
    done = CliRunner().invoke(rules, ["test", str(test)])
    assert done.exit_code == 0, done.output
    test.write_text(test.read_text().replace("fuzzy_compare: true\n", ""))
    assert "0.30000000000000004" in CliRunner().invoke(rules, ["test", str(test)]).output


def test_a_missing_rule_file_is_said_and_tolerated() -> None:
    done = CliRunner().invoke(rules, ["test", str(CORPUS / "test" / "ok-no-file-matches.yml")])
    assert "no file match pattern" in done.output


def test_histograms_are_refused_in_words() -> None:
    done = CliRunner().invoke(rules, ["test", str(CORPUS / "test" / "bad-notation-histogram.yml")])
    assert "native histograms" in done.output

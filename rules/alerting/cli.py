"""`zhishou rules check FILE...` and `zhishou rules test FILE...`: promtool's formats, verdicts and exit codes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click

from monitor.metrics.memory import MemoryStore
from monitor.metrics.promql.engine import PromqlEngine
from rules.alerting.errors import RuleFileError
from rules.alerting.files import RuleGroup, read_rule_file
from rules.alerting.ruletest import run_rule_test

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable result.")


@click.group()
def rules() -> None:
    """Check and test alerting rules (Prometheus rule files)."""


@rules.command()
@_FILES
@_JSON
@click.option(
    "--lint",
    type=click.Choice(["all", "duplicate-rules", "none"]),
    default="duplicate-rules",
    show_default=True,
    help="What to look for besides errors.",
)
@click.option("--lint-fatal", is_flag=True, help="Exit with 3 when lint finds something.")
def check(files: tuple[Path, ...], as_json: bool, lint: str, lint_fatal: bool) -> None:
    """Check rule files; exit code 1 when one is wrong."""
    compile_ = PromqlEngine(MemoryStore()).compile
    results: list[dict[str, object]] = []
    duplicates = 0
    for path in files:
        groups, errors = read_rule_file(path, compile_)
        clashes = [] if lint == "none" or errors else _duplicates(groups)
        duplicates += len(clashes)
        count = sum(len(group.rules) for group in groups)
        faults = [str(error) for error in errors]
        found = {"file": str(path), "ok": not errors, "rules": count, "errors": faults, "duplicates": clashes}
        results.append(found)
        if not as_json:
            click.echo(f"Checking {path}")
            _show(faults, f"{count} rules found")
            if clashes:
                click.echo(f"  {len(clashes)} duplicate rule(s) found: {', '.join(clashes)}")
            click.echo()
    _finish(results, as_json=as_json)
    if lint_fatal and duplicates:
        sys.exit(3)


@rules.command()
@_FILES
@_JSON
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules; exit code 1 when one fails."""
    results = []
    for path in files:
        warnings: list[str] = []
        try:
            faults = run_rule_test(path, warnings)
        except RuleFileError as error:
            faults = [str(error)]
        results.append({"file": str(path), "ok": not faults, "errors": faults})
        if not as_json:
            click.echo(f"Unit Testing:  {path}")
            for warning in warnings:
                click.echo(warning, err=True)
            _show(faults, "")
            click.echo()
    _finish(results, as_json=as_json)


def _show(faults: list[str], detail: str) -> None:
    if not faults:
        click.echo(f"  SUCCESS{': ' if detail else ''}{detail}")
        return
    click.echo("  FAILED:", err=True)
    for fault in faults:
        click.echo(fault, err=True)


def _duplicates(groups: list[RuleGroup]) -> list[str]:
    """Names of rules that another of the same name and labels follows; promtool warns of them, too."""
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        for rule in group.rules:
            labels = sorted((name, getattr(value, "source", str(value))) for name, value in rule.labels)
            counts[rule.name, json.dumps(labels)] += 1
    return [name for (name, _), count in counts.items() if count > 1]


def _finish(results: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=2))
    if not all(result["ok"] for result in results):
        sys.exit(1)

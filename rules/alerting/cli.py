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
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check rule files; exit code 1 when one is wrong."""
    compile_ = PromqlEngine(MemoryStore()).compile
    results = []
    for path in files:
        groups, errors = read_rule_file(path, compile_)
        count = sum(len(group.rules) for group in groups)
        faults = [str(error) for error in errors]
        results.append({"file": str(path), "ok": not errors, "rules": count, "errors": faults})
        if not as_json:
            click.echo(f"Checking {path}")
            _show(faults, f"{count} rules found")
            _warn_duplicates(groups)
            click.echo()
    _finish(results, as_json=as_json)


@rules.command()
@_FILES
@_JSON
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules; exit code 1 when one fails."""
    results = []
    for path in files:
        try:
            faults = run_rule_test(path)
        except RuleFileError as error:
            faults = [str(error)]
        results.append({"file": str(path), "ok": not faults, "errors": faults})
        if not as_json:
            click.echo(f"Unit Testing:  {path}")
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


def _warn_duplicates(groups: list[RuleGroup]) -> None:
    """Rules of one name and label set may clash; promtool warns too and accepts."""
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        for rule in group.rules:
            labels = sorted((name, getattr(value, "source", str(value))) for name, value in rule.labels)
            counts[rule.name, json.dumps(labels)] += 1
    clashes = [name for (name, _), count in counts.items() if count > 1]
    if clashes:
        click.echo(f"  {len(clashes)} duplicate rule(s) found: {', '.join(clashes)}")


def _finish(results: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=2))
    if not all(result["ok"] for result in results):
        sys.exit(1)

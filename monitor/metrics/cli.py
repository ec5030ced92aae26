"""`zhishou query`, `query-range`: PromQL on the command line as promtool prints it; `zhishou metrics`: the files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from monitor.metrics.client import Answer, PrometheusClient
from monitor.metrics.notation import duration_ms, seconds, time_ms
from monitor.metrics.snapshot import snapshot, verify
from monitor.settings import load_settings

Command = Callable[..., None]


def _source(command: Command) -> Command:
    """The options that say whom to ask and how to print."""
    for option in (
        click.option(
            "--data", metavar="DIR", help="Data folder of a running core [default: $ZHISHOU_DATA or ./data]."
        ),
        click.option(
            "--url", metavar="URL", help="Ask this server instead, e.g. http://HOST:8080/prometheus."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the JSON `data` of the answer."),
    ):
        command = option(command)
    return command


def _client(url: str | None, data: str | None) -> PrometheusClient:
    if url:
        return PrometheusClient(url, os.environ.get("PROMETHEUS_TOKEN", ""))
    return PrometheusClient(load_settings(flags={"data": data}).socket_path)


@click.command()
@click.argument("expression", metavar="EXPR")
@click.option("--at", metavar="TIME", help="Unix seconds or RFC 3339 [default: now].")
@_source
def query(expression: str, at: str | None, url: str | None, data: str | None, as_json: bool) -> None:
    """Evaluate a PromQL expression at one time.

    With --url the access token is read from $PROMETHEUS_TOKEN.
    """
    parameters = {"query": expression}
    if at:
        parameters["time"] = str(seconds(time_ms(at, "at")))
    _print(_client(url, data).ask("query", parameters), as_json=as_json)


@click.command("query-range")
@click.argument("expression", metavar="EXPR")
@click.option("--start", metavar="TIME", required=True, help="Unix seconds or RFC 3339.")
@click.option("--end", metavar="TIME", required=True, help="Unix seconds or RFC 3339.")
@click.option("--step", metavar="DURATION", required=True, help="Seconds or a duration such as 5m.")
@_source
def query_range(
    expression: str, start: str, end: str, step: str, url: str | None, data: str | None, as_json: bool
) -> None:
    """Evaluate a PromQL expression from --start to --end at every --step."""
    parameters = {
        "query": expression,
        "start": str(seconds(time_ms(start, "start"))),
        "end": str(seconds(time_ms(end, "end"))),
        "step": str(seconds(duration_ms(step, "step"))),
    }
    _print(_client(url, data).ask("query_range", parameters), as_json=as_json)


def _print(answer: Answer, *, as_json: bool) -> None:
    for kind, texts in (("warning", answer.warnings), ("info", answer.infos)):
        for text in texts:
            click.echo(f"{kind}: {text}", err=True)
    if as_json:
        click.echo(orjson.dumps(answer.data, option=orjson.OPT_INDENT_2))
    else:
        for line in text_lines(answer.data):
            click.echo(line)


def text_lines(data: Mapping[str, Any]) -> list[str]:
    """The `data` of a query answer as promtool prints it."""
    result = data["result"]
    match data["resultType"]:
        case "vector":
            return [f"{_metric(item['metric'])} => {_point(item['value'])}" for item in result]
        case "matrix":
            return [
                line
                for item in result
                for line in (f"{_metric(item['metric'])} =>", *(_point(point) for point in item["values"]))
            ]
        case "scalar":
            return [f"scalar: {_point(result)}"]
        case _:
            return [str(result[1])]


def _point(point: Sequence[Any]) -> str:
    at, value = point
    return f"{value} @[{at}]"


def _metric(labels: Mapping[str, str]) -> str:
    quoted = (
        f"{name}={orjson.dumps(value).decode()}"
        for name, value in sorted(labels.items())
        if name != "__name__"
    )
    inside = ", ".join(quoted)
    name = labels.get("__name__", "")
    return f"{name}{{{inside}}}" if inside or not name else name


@click.group()
def metrics() -> None:
    """Look after the files of the metric store."""


_DATA = click.option(
    "--data",
    metavar="DIR",
    help="Data folder of the core, running or not [default: $ZHISHOU_DATA or ./data].",
)


@metrics.command("snapshot")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@_DATA
def take_snapshot(folder: Path, data: str | None) -> None:
    """Copy the metric store to a new FOLDER while it goes on; the copy opens as a store."""
    snapshot(load_settings(flags={"data": data}).folder / "metrics", folder)
    click.echo(f"{folder}: complete")


@metrics.command("verify")
@_DATA
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check_files(data: str | None, as_json: bool) -> None:
    """Read every checksum of the metric store; exit code 1 when something is damaged."""
    found = verify(load_settings(flags={"data": data}).folder / "metrics")
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        for damage in found.damage:
            click.echo(f"{damage.file}: offset {damage.offset}: {damage.reason}")
        state = f"{len(found.damage)} damaged" if found.damage else "no damage"
        click.echo(f"{found.files} files, {found.frames} frames, {found.bytes} bytes: {state}")
    sys.exit(1 if found.damage else 0)

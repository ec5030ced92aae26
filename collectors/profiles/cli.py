"""`zhishou profile`: check, try out, draft and list device profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

import collectors
from collectors.interface import Credential
from collectors.profiles.library import Library, load_library
from collectors.profiles.lint import Finding, lint
from collectors.profiles.profile import Profile
from collectors.profiles.recording import Recording, format_snmprec, read_recording
from collectors.profiles.trial import (
    Files,
    differences,
    files_of,
    read_expected,
    replay,
    summary,
    write_expected,
)
from collectors.profiles.wizard import Draft, draft
from collectors.snmp.ber import decode_oid, dotted, encode_oid
from collectors.snmp.cli import credential_of, existing_folder, split_target
from collectors.snmp.client import open_session
from monitor.clock import SystemClock
from monitor.errors import InputError, UnreachableError
from monitor.settings import load_settings

_WALKS: Final = Path(collectors.__file__).parents[1] / "tests" / "collectors" / "profiles" / "walks"
_ROOTS: Final = tuple(encode_oid(oid) for oid in ("1.0.8802.1.1.2", "1.3.6.1.2.1", "1.3.6.1.4.1"))
_WALK_SECONDS: Final = 300.0
_SHOWN: Final = 20  # differences of one profile
_YAML: Final = (".yml", ".yaml")

_folder_option = click.option(
    "--profiles", "folder", metavar="DIR", help="Folder of own profiles [default: the setting `profiles`]."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def profile() -> None:
    """Check, try out, draft and list device profiles (设备画像)."""


@profile.command("list")
@_folder_option
@_json_option
def list_profiles(folder: str | None, as_json: bool) -> None:
    """All profiles: ours, those of the own folder, and modules of snmp.yml files in it."""
    library = _library(folder)
    entries = [_entry(library, library.profiles[name]) for name in sorted(library.profiles)]
    if as_json:
        problems = [{"where": p.where, "message": p.message, "zh": p.zh} for p in library.problems]
        click.echo(json.dumps({"profiles": entries, "problems": problems}, ensure_ascii=False, indent=1))
        return
    table = Table()
    table.add_column("名称 name", no_wrap=True)
    for title in ("厂商 vendor", "识别条件 match", "模块 modules", "来源 source"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        table.add_row(*(_shown(entry[key]) for key in ("name", "vendor", "match", "modules", "source")))
    Console().print(table)
    _tell_problems(library)


@profile.command("lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@_folder_option
@_json_option
def lint_files(files: Sequence[Path], folder: str | None, as_json: bool) -> None:
    """Look through profiles and snmp.yml files (or folders of them). Exits with 1 when something is wrong."""
    library = _library(folder)
    found = [finding for path in _yaml_files(files) for finding in lint(path, library)]
    if as_json:
        click.echo(json.dumps([_finding(finding) for finding in found], ensure_ascii=False, indent=1))
    else:
        for finding in found:
            click.echo(f"{finding.where}: {finding.zh}")
            click.echo(f"    {finding.message}")
        if not found:
            click.echo("没有发现问题。 No findings.")
    if found:
        raise SystemExit(1)


@profile.command("test")
@click.argument("names", nargs=-1, metavar="[NAME|FILE]...")
@_folder_option
@click.option("--write", is_flag=True, help="Write what comes out as the expected JSON, to be reviewed.")
@_json_option
def test_profiles(names: Sequence[str], folder: str | None, write: bool, as_json: bool) -> None:
    """Replay the walks of profiles through a whole poll and compare with what is expected (NAME.json).

    Without names: every profile that ships with the program and every one of the own folder. Exits with 1 when
    one differs or lacks its walk.
    """
    trials = list(_trials(names, folder))
    if not trials:
        raise InputError(
            "no profile to test: walks of ours are in the source tree, there is no own folder",
            hint="name a file, or set `profiles`",
            zh="没有可测试的设备画像：自带画像的录制数据只在源码中，也未设置自有画像目录；请指定文件或设置 profiles",
        )
    outcomes = [_try(trial, write=write) for trial in trials]
    if as_json:
        found = [{"profile": o.name, "ok": not o.problems, "problems": list(o.problems)} for o in outcomes]
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for outcome in outcomes:
            click.echo(f"{'不符 FAIL' if outcome.problems else '通过 ok'}  {outcome.name}")
            for problem in outcome.problems[:_SHOWN]:
                click.echo(f"    {problem}")
            if len(outcome.problems) > _SHOWN:
                click.echo(f"    …… 另有 {len(outcome.problems) - _SHOWN} 处 more")
    if any(outcome.problems for outcome in outcomes):
        raise SystemExit(1)


@profile.command("new")
@click.argument("target", metavar="[HOST[:PORT]]", required=False)
@click.option(
    "--walk", type=click.Path(path_type=Path), help="Recorded walk: snmprec, or snmpwalk -On / -OnQ."
)
@click.option("--name", required=True, help="Name of the new profile, such as acme-switch.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write [default: NAME.yml here].")
@click.option("--community", help="v2c (or v1) community; default: $ZHISHOU_COMMUNITY, then public")
@click.option("--v1", is_flag=True, help="speak SNMPv1 instead of v2c")
@click.option("--v3-user", help="SNMPv3 user name")
@click.option("--v3-auth", metavar="SHA:PASS", help="protocol and password")
@click.option("--v3-priv", metavar="AES:PASS", help="protocol and password")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@_folder_option
def new_profile(
    target: str | None,
    walk: Path | None,
    name: str,
    out: Path | None,
    community: str | None,
    v1: bool,
    v3_user: str | None,
    v3_auth: str | None,
    v3_priv: str | None,
    force: bool,
    folder: str | None,
) -> None:
    """Draft a profile from a recorded walk or from a device: NAME.yml, its walk, and what comes out of it.

    The draft loads as it is; candidates stand in it as comments, with samples. Review all three files.
    """
    if (target is None) == (walk is None):
        raise InputError(
            "give either HOST or --walk FILE", zh="请给出设备地址，或用 --walk 指定录制文件，二者取一"
        )
    library = _library(folder)
    out = out or Path(f"{name}.yml")
    if out.stem != name or out.suffix != ".yml":
        raise InputError(
            f"the file of profile {name} is named {name}.yml", zh=f"画像 {name} 的文件名须为 {name}.yml"
        )
    credential = credential_of(community, v1, v3_user, v3_auth, v3_priv)
    recording = read_recording(walk) if walk is not None else _record(str(target), credential)
    drafted = draft(name, recording.varbinds, library)
    written = [out, out.with_suffix(".snmprec"), out.with_suffix(".json")]
    _refuse_existing(
        [path for path in written if walk is None or path.resolve() != walk.resolve()], force=force
    )
    out.write_text(drafted.text, "utf-8")
    if walk is None or written[1].resolve() != walk.resolve():
        written[1].write_bytes(format_snmprec(recording.varbinds).encode("utf-8", "surrogateescape"))
    _expect(out, folder)
    _tell_draft(drafted, recording, written)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One profile to try, with the library it lives in."""

    name: str
    library: Library
    files: Files


@dataclass(frozen=True, slots=True)
class _Outcome:
    name: str
    problems: tuple[str, ...] = ()


def _trials(names: Sequence[str], folder: str | None) -> Iterator[_Trial]:
    library = _library(folder)
    own = _own_folder(folder)
    if not names:
        wanted = [name for name in sorted(library.profiles) if not _is_module(library.profiles[name])]
        names = [name for name in wanted if _WALKS.is_dir() or library.sources[name].parent == own]
    for name in names:
        path = Path(name)
        if path.suffix in _YAML:
            yield _trial_of_file(path)
        elif name not in library.profiles:
            raise InputError(
                f"profile {name} does not exist",
                hint="`zhishou profile list` names them; a file ends in .yml",
                zh=f"设备画像 {name} 不存在；可用 zhishou profile list 查看，文件名须以 .yml 结尾",
            )
        else:
            source = library.sources[name].parent
            yield _Trial(name, library, files_of(name, source if source == own else _WALKS))


def _trial_of_file(path: Path) -> _Trial:
    """A file is tried as if its folder were the own one; what is wrong with it is an error."""
    if not path.is_file():
        raise InputError("no such file", where=str(path), zh=f"{path}：文件不存在")
    library = load_library(path.parent)
    for problem in library.problems:
        if problem.where.partition(":")[0] == str(path):
            raise problem
    return _Trial(path.stem, library, files_of(path.stem, path.parent))


def _try(trial: _Trial, *, write: bool) -> _Outcome:
    if trial.files.walk is None:
        missing = f"{trial.files.expected.with_suffix('.snmprec')}"
        return _Outcome(trial.name, (f"缺少录制数据 no walk: {missing}",))
    try:
        result = replay(trial.library.profiles, trial.name, read_recording(trial.files.walk))
        found = summary(result)
        if write:
            write_expected(trial.files.expected, found)
        errors = [f"{error.code}: {error.zh}" for error in result.errors]
        expected = read_expected(trial.files.expected)
    except InputError as error:
        return _Outcome(trial.name, (error.zh,))
    return _Outcome(trial.name, (*errors, *differences(expected, found)))


def _expect(out: Path, folder: str | None) -> None:
    """Write what comes out of a new profile beside it."""
    trial = _trial_of_file(out)
    own = _own_folder(folder)
    if own is not None and own.resolve() != out.parent.resolve():
        library = load_library(own)
        merged = {**library.profiles, trial.name: trial.library.profiles[trial.name]}
        result = replay(merged, trial.name, read_recording(out.with_suffix(".snmprec")))
    else:
        result = replay(trial.library.profiles, trial.name, read_recording(out.with_suffix(".snmprec")))
    write_expected(trial.files.expected, summary(result))


def _record(target: str, credential: Credential) -> Recording:
    """Walk a device. Raises UnreachableError when nothing comes."""
    host, port = split_target(target)
    clock = SystemClock()
    session = open_session(host, port, credential, timeout=3.0, retries=2, clock=clock, budget=_WALK_SECONDS)
    with closing(session):
        walked = session.walk(_ROOTS)
    varbinds = [
        (root + index, *typed) for root, rows in walked.columns.items() for index, typed in rows.items()
    ]
    if not varbinds:
        problem = walked.problems[0] if walked.problems else None
        raise problem or UnreachableError(f"nothing to read at {target}", zh=f"{target} 没有可读取的数据")
    for problem in walked.problems:
        click.echo(problem.zh, err=True)
    return Recording(tuple(sorted(varbinds, key=lambda varbind: decode_oid(varbind[0]))))


def _refuse_existing(paths: Sequence[Path], *, force: bool) -> None:
    for path in paths:
        if path.exists() and not force:
            raise InputError(
                "exists already",
                where=str(path),
                hint="--force overwrites it",
                zh=f"{path} 已存在；--force 可覆盖",
            )


def _tell_draft(drafted: Draft, recording: Recording, written: Sequence[Path]) -> None:
    click.echo(f"目前识别为 recognised today as: {drafted.matched}")
    click.echo(f"继承 extends: {', '.join(drafted.extends)}")
    click.echo(f"候选 candidates: {drafted.tables} 个表 tables, {drafted.scalars} 个标量 scalars")
    if recording.problems:
        click.echo(
            f"未能识别的行 lines not understood: {len(recording.problems)}; {recording.problems[0].where}"
        )
    click.echo(
        "录制数据含设备地址等信息，外传前请检查。 Recorded walks hold addresses and names: look before sharing."
    )
    click.echo("已写入，请逐一核对 written, please review:")
    for path in written:
        click.echo(f"  {path}")


def _library(folder: str | None) -> Library:
    return load_library(_own_folder(folder))


def _own_folder(folder: str | None) -> Path | None:
    chosen = folder or load_settings().profiles
    return existing_folder(chosen) if chosen else None


def _yaml_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix in _YAML)
        else:
            yield path


def _is_module(known: Profile) -> bool:
    return any(module.reader is not None for module in known.modules)


def _entry(library: Library, known: Profile) -> dict[str, object]:
    vendors = [source.value for source in known.identity.get("vendor", ()) if source.value]
    matches = []
    for match in known.matches:
        parts = [dotted(match.prefix)] if match.prefix else []
        parts += [f"/{match.descr.pattern}/"] if match.descr else []
        parts += [f"{dotted(match.exists)}?"] if match.exists else []
        matches.append(" ".join(parts))
    source = library.sources[known.name]
    return {
        "name": known.name,
        "vendor": vendors[0] if vendors else None,
        "match": matches,
        "modules": [module.name for module in known.modules],
        "source": "zhishou" if Path(collectors.__file__).parent in source.parents else str(source),
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _finding(finding: Finding) -> dict[str, str]:
    return {"where": finding.where, "message": finding.message, "zh": finding.zh}


def _tell_problems(library: Library) -> None:
    for problem in library.problems:
        click.echo(problem.zh, err=True)

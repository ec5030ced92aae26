"""`zhishou assess` and `zhishou evidence`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from monitor.clock import SystemClock
from monitor.devices import RootfsTarget, SshTarget, fact_reader
from monitor.errors import InputError, NotFoundError, UnreachableError
from monitor.facts import FactStore
from monitor.model import WHOLE_CITY
from rules.compliance import catalogue
from rules.compliance.check import load_checks
from rules.compliance.collect import collect
from rules.compliance.evidence import Assessed, bundle
from rules.compliance.facts import Fact
from rules.compliance.interface import Judgement, Verdict
from rules.compliance.jobs import write_bundle
from rules.compliance.judge import by_requirement, judge
from rules.compliance.register import ComplianceRegister
from rules.compliance.scoring import Profile2025, score_2025, totals
from rules.compliance.signing import one_time_signer
from rules.compliance.verifier import verify as verify_bundle

if TYPE_CHECKING:
    from monitor.cli.context import State

ACTOR = "cli"
Target = SshTarget | RootfsTarget
data_option = click.option("--data", metavar="DIR", help="Data folder [default: $ZHISHOU_DATA or ./data].")


@dataclass(frozen=True, slots=True)
class _Found:
    """What an assessment of any kind of target comes to."""

    target: str
    level: int
    judgements: Sequence[Judgement]
    started_at: int = 0
    facts: Mapping[str, Sequence[Fact]] = field(default_factory=dict)
    assessment: int = 0


@click.command()
@click.argument("target")
@click.option(
    "--level", type=click.Choice(["2", "3"]), help="Protection level [default: the site's, else 3]."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Also write an evidence bundle here."
)
@click.option("--identity", default="", help="Private key file for ssh:// targets.")
@click.option(
    "--known-hosts", default="", help="known_hosts file for ssh:// targets [default: ~/.ssh/known_hosts]."
)
@click.option(
    "--lang", type=click.Choice(["zh", "en"]), default="zh", help="Language of the reasons shown as lines."
)
@data_option
def assess(
    target: str,
    level: str | None,
    as_json: bool,
    out: Path | None,
    identity: str,
    known_hosts: str,
    lang: str,
    data: str | None,
) -> None:
    """Judge a host or site against classified protection 2.0.

    TARGET is ssh://[user@]host[:port], rootfs:DIR (an unpacked Linux root), a site id or a device id. Exit code 1
    when anything is 不符合, 3 when the target cannot be reached.
    """
    if direct := parse_target(target, identity, known_hosts):
        found = _direct(target, direct, int(level or 3))
        written = _one_bundle(found, out) if out else None
    else:
        from monitor.cli.context import opened  # loads the whole core, which an ad-hoc target does not need

        with opened(data) as state:
            found, written = _registered(state, target, int(level or 0), out)
    if as_json:
        click.echo(json.dumps(_document(found, written), ensure_ascii=False, indent=1))
    else:
        _show(found, lang)
        if written:
            click.echo(f"bundle: {written['file']}\nsigned by {written['key']}")
    sys.exit(1 if any(j.verdict is Verdict.FAIL for j in found.judgements) else 0)


def parse_target(text: str, identity: str = "", known_hosts: str = "") -> Target | None:
    """An ad-hoc target, or None for the id of a site or device. InputError for a URL that is not usable."""
    if text.startswith("rootfs:"):
        if not (path := text.removeprefix("rootfs:")):
            raise InputError("rootfs: needs a folder", where=text)
        return RootfsTarget(path)
    if "://" not in text:
        return None
    parts = urlsplit(text)
    try:
        port = parts.port or 22
    except ValueError as error:
        raise InputError("not a port", where=text) from error
    if parts.scheme != "ssh" or not parts.hostname or parts.path.strip("/") or parts.password:
        raise InputError(
            "not a target", where=text, hint="ssh://[user@]host[:port], rootfs:DIR, a site id or a device id"
        )
    default = Path.home() / ".ssh" / "known_hosts"
    return SshTarget(
        host=parts.hostname,
        port=port,
        user=parts.username or "root",
        identity_file=identity,
        known_hosts=known_hosts or (str(default) if default.exists() else ""),
    )


def _direct(name: str, target: Target, level: int) -> _Found:
    started = SystemClock().now_ms()
    checks = load_checks()
    facts = collect(fact_reader(), target, checks, level)
    return _Found(name, level, judge(name, facts, checks, level), started, {name: tuple(facts)})


def _registered(
    state: State, target: str, level: int, out: Path | None
) -> tuple[_Found, Mapping[str, str] | None]:
    register = _register(state)
    if target in state.directory.inventory().sites:
        number = register.run(WHOLE_CITY, target, ACTOR, _progress, level=level)
        view = next(v for v in register.assessments(WHOLE_CITY, target) if v.id == number)
        judgements = register.judgements(WHOLE_CITY, number)
        found = _Found(target, view.level, judgements, view.started_at, assessment=number)
        if out is None:
            return found, None
        path, data = out / f"evidence-{target}-{number}.zip", register.export(WHOLE_CITY, number, ACTOR)
        write_bundle(path, data)
        return found, _written(path, data, register.fingerprint())
    try:
        device = state.directory.device(WHOLE_CITY, target)
    except NotFoundError as error:
        hint = "ssh://[user@]host[:port], rootfs:DIR, a site id or a device id"
        raise NotFoundError(f"no site or device {target!r}", hint=hint) from error
    if device.ssh is None:
        raise InputError(
            "the device has no SSH access", where=device.id, hint="register one in the inventory"
        )
    site = state.directory.site(WHOLE_CITY, device.site)
    started = SystemClock().now_ms()
    result = register.assess_device(device, level or site.protection_level)
    if not result.facts and not device.do_not_probe:
        raise UnreachableError(
            result.judgements[0].reason_en, where=device.id, zh=result.judgements[0].reason
        )
    found = _Found(
        target, level or site.protection_level, result.judgements, started, {device.id: result.facts}
    )
    return found, _one_bundle(found, out) if out else None


def _register(state: State) -> ComplianceRegister:
    store = FactStore(state.settings.folder / "facts")
    return ComplianceRegister(
        state.database, store, state.audit, SystemClock(), state.directory, state.credentials
    )


def _progress(done: int, total: int, note: str) -> bool:
    click.echo(f"{done}/{total} {note}", err=True)
    return True


def _one_bundle(found: _Found, out: Path) -> Mapping[str, str]:
    """A bundle under a key of its own: it proves wholeness, and its printed fingerprint ties it to this run."""
    requirements = catalogue.load(found.level)
    profile = Profile2025()
    risks = {j.high_risk for j in found.judgements if j.high_risk}
    signer = one_time_signer()
    data = bundle(
        Assessed(
            subject=found.target,
            number=0,
            level=found.level,
            started_at=found.started_at,
            finished_at=SystemClock().now_ms(),
            collector=f"zhishou {version('zhishou')}",
            requirements=requirements,
            judgements=found.judgements,
            facts=found.facts,
            score=score_2025(by_requirement(requirements, found.judgements), len(risks), profile),
            profile=asdict(profile),
        ),
        signer,
    )
    path = out / "evidence.zip"
    write_bundle(path, data)
    return _written(path, data, signer.fingerprint)


def _written(path: Path, data: bytes, key: str) -> Mapping[str, str]:
    return {"file": str(path), "sha256": hashlib.sha256(data).hexdigest(), "key": key}


def _document(found: _Found, written: Mapping[str, str] | None) -> dict[str, object]:
    requirements = catalogue.load(found.level)
    verdicts = by_requirement(requirements, found.judgements)
    risks = sorted({j.high_risk for j in found.judgements if j.high_risk})
    score = score_2025(verdicts, len(risks))
    return {
        "target": found.target,
        "level": found.level,
        "verdicts": [
            {**asdict(j), "lines": [f"{line.fact}:{line.number}: {line.text}" for line in j.lines]}
            for j in found.judgements
        ],
        "totals": {verdict.value: count for verdict, count in score.totals.items()},
        "check_totals": {v.value: count for v, count in totals(j.verdict for j in found.judgements).items()},
        "rate": score.rate,
        "grade": score.grade,
        "profile": score.profile,
        "high_risks": risks,
        **({"assessment": found.assessment} if found.assessment else {}),
        **({"bundle": dict(written)} if written else {}),
    }


def _show(found: _Found, lang: str) -> None:
    for j in found.judgements:
        risk = f" [{j.high_risk}]" if j.high_risk else ""
        click.echo(
            f"{j.verdict.value}\t{j.clause}.{j.item}\t{j.check}\t{j.object}\t"
            f"{j.reason_en if lang == 'en' else j.reason}{risk}"
        )
        if j.verdict in {Verdict.FAIL, Verdict.PARTIAL}:
            for line in j.lines:
                click.echo(f"\t{line.fact}:{line.number}: {line.text}")
    counts = totals(by_requirement(catalogue.load(found.level), found.judgements).values())
    shown = " ".join(f"{verdict.value} {count}" for verdict, count in counts.items())
    label = "self-check, requirements" if lang == "en" else "自查,按要求项计"
    click.echo(f"{label}: {shown}")


@click.group()
def evidence() -> None:
    """Signed evidence bundles of assessments."""


@evidence.command()
@click.argument("site")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The ZIP to write."
)
@data_option
def export(site: str, out: Path, data: str | None) -> None:
    """Write the bundle of the newest finished assessment of SITE."""
    from monitor.cli.context import opened

    with opened(data) as state:
        register = _register(state)
        state.directory.site(WHOLE_CITY, site)
        latest = register.latest(WHOLE_CITY).get(site)
        if latest is None:
            raise NotFoundError(
                f"site {site} has no finished assessment", hint=f"run `zhishou assess {site}`"
            )
        content = register.export(WHOLE_CITY, latest.id, ACTOR)
        write_bundle(out, content)
        click.echo(f"{out}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
        click.echo(f"signed by {register.fingerprint()}")


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--public-key", default="", help="Public key or fingerprint (hex) that must have signed.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")
def verify(file: Path, public_key: str, as_json: bool) -> None:
    """Say what was changed, removed, added or reordered in a bundle; exit code 1 when anything was."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from error
    problems, key = verify_bundle(content, public_key)
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems, "key": key}, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"signed by {key}" if key else "no usable signature")
        click.echo("BROKEN: this bundle was altered" if problems else "ok: nothing was altered")
    sys.exit(1 if problems else 0)

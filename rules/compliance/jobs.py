"""Long work of this room: `assess` {"site"} and `evidence-export` {"assessment"}."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from monitor.credentials import Credentials
from monitor.errors import InputError
from monitor.jobs import JobContext
from monitor.service import Runtime
from rules.compliance.register import ComplianceRegister

Result = Mapping[str, str | int | float | None]


def register_of(runtime: Runtime) -> ComplianceRegister:
    """The register on the core's parts."""
    credentials = Credentials(runtime.database, runtime.vault)
    return ComplianceRegister(
        runtime.database, runtime.facts, runtime.audit, runtime.clock, runtime.directory, credentials
    )


def assess(context: JobContext, params: Mapping[str, str]) -> Result:
    """Assess one site; the result names the assessment."""
    register = register_of(context.runtime)
    number = register.run(context.scope, _given(params, "site"), context.actor, context.progress)
    view = next(v for v in register.assessments(context.scope, params["site"]) if v.id == number)
    return {"assessment": number, "status": view.status, "grade": view.grade, "rate": view.rate}


def export(context: JobContext, params: Mapping[str, str]) -> Result:
    """Write the bundle of one assessment below `exports` in the data folder; `file` is its name there."""
    number = _given(params, "assessment")
    if not number.isdigit():
        raise InputError(f"not an assessment number: {number!r}")
    data = register_of(context.runtime).export(context.scope, int(number), context.actor)
    path = context.runtime.settings.folder / "exports" / f"evidence-{number}.zip"
    write_bundle(path, data)
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}


def write_bundle(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a reader never sees half a bundle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.chmod(0o600)
    partial.replace(path)


def _given(params: Mapping[str, str], name: str) -> str:
    value = str(params.get(name, ""))
    if not value:
        raise InputError(f"the job needs {name}")
    return value

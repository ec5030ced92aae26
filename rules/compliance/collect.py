"""Collecting: which facts a set of checks needs, read once in one session, masked before anything keeps them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.devices import FactReader, FactRequest, RawFact, RootfsTarget, SshTarget
from rules.compliance.check import Check
from rules.compliance.facts import Fact, Facts
from rules.compliance.mask import mask
from rules.compliance.sources import Source, sources

_HARMLESS = ("No such file or directory", "recursive directory loop")
MAX_FILES = 500  # files read of one folder of an unpacked root


@dataclass(frozen=True, slots=True)
class _Part:
    source: Source
    request: FactRequest
    shown: str  # path inside the target, for a file of a folder


def collect(
    reader: FactReader, target: SshTarget | RootfsTarget, checks: Sequence[Check], level: int
) -> Facts:
    """The masked facts these checks need. UnreachableError when the session cannot be opened."""
    wanted = sources(fact for check in checks if level in check.levels for fact in check.facts)
    parts = [part for source in wanted for part in _parts(source, target)]
    raws = reader.read(target, [part.request for part in parts]) if parts else []
    found: dict[str, list[tuple[_Part, RawFact]]] = {source.id: [] for source in wanted}
    for part, raw in zip(parts, raws, strict=True):
        found[part.source.id].append((part, raw))
    return Facts(_merge(source, found[source.id]) for source in wanted)


def _parts(source: Source, target: SshTarget | RootfsTarget) -> list[_Part]:
    if not source.folder or isinstance(target, SshTarget):
        return [_Part(source, source.request(), source.path)]
    root = Path(target.path)
    folder = root / source.folder.lstrip("/")
    if folder.is_symlink() or not folder.is_dir():
        return []
    names = sorted(p for p in folder.rglob("*") if fnmatch.fnmatch(p.name, source.pattern))
    shown = [f"/{p.relative_to(root)}" for p in names if p.is_symlink() or p.is_file()][:MAX_FILES]
    return [_Part(source, FactRequest(f"{source.id}:{path}", path=path), path) for path in shown]


def _merge(source: Source, parts: Sequence[tuple[_Part, RawFact]]) -> Fact:
    if not parts:
        return Fact(source.id, source.folder, "", 0, 0, missing=True, folder=True)
    first = parts[0][1]
    if not source.folder or parts[0][0].request.argv:
        return _fact(source, _grepped(first) if source.folder else first, first.text)
    text = "".join(f"{part.shown}:{line}\n" for part, raw in parts for line in raw.text.splitlines())
    broken = next((raw for _, raw in parts if raw.error and not raw.missing), None)
    return _fact(source, broken or replace(first, error="", missing=False), text)


def _grepped(raw: RawFact) -> RawFact:
    """What the exit code and complaints of grep mean: nothing there, or something that could not be read."""
    if raw.missing or raw.error:
        return replace(raw, missing=False, error=raw.error or "grep is not available")
    complaints = raw.extra.get("stderr", "").splitlines()
    wrong = [text for text in complaints if not text.endswith(_HARMLESS)]
    if raw.exit_code == 1 or (raw.exit_code == 2 and complaints and not wrong):
        return replace(raw, missing=not raw.text, exit_code=0)
    if raw.exit_code == 2:
        return replace(raw, error=wrong[0] if wrong else "grep failed")
    return raw


def _fact(source: Source, raw: RawFact, text: str) -> Fact:
    data = text.encode("utf-8", "replace")
    return Fact(
        id=source.id,
        source=source.folder or source.path or " ".join(source.argv),
        text=mask(source.id, text),
        exit_code=raw.exit_code,
        read_at_ms=raw.read_at_ms,
        raw_sha256=hashlib.sha256(data).hexdigest(),
        raw_sm3=sm3(data),
        error="" if raw.missing else _failure(source, raw),
        missing=raw.missing,
        host_key=raw.host_key,
        folder=bool(source.folder),
        command=bool(source.argv),
    )


def _failure(source: Source, raw: RawFact) -> str:
    if raw.error:
        return mask(source.id, raw.error)
    if source.argv and raw.exit_code != 0 and not raw.text.strip():
        return f"exit code {raw.exit_code}"
    return ""


def sm3(data: bytes) -> str:
    """SM3 (GB/T 32905) in hex."""
    return hashlib.new("sm3", data).hexdigest()

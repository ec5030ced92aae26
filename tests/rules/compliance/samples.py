"""Fixtures of checks as facts, the way collecting would have stored them."""

from __future__ import annotations

from pathlib import Path

from rules.compliance.facts import Fact, Facts
from rules.compliance.mask import mask
from rules.compliance.sources import SOURCES

FIXTURES = Path(__file__).parent / "fixtures"
NOON = 1_795_262_400_000  # 2026-11-21T12:00:00Z


def fact(id_: str, text: str, *, missing: bool = False, error: str = "") -> Fact:
    source = SOURCES[id_]
    return Fact(
        id=id_,
        source=source.path or source.folder or " ".join(source.argv),
        text=mask(id_, text),
        exit_code=0,
        read_at_ms=NOON,
        error=error,
        missing=missing,
        folder=bool(source.folder),
        command=bool(source.argv),
    )


def facts_of(given: dict[str, str], wanted: tuple[str, ...] = ()) -> Facts:
    """What is given, and everything else of `wanted` as missing."""
    present = [fact(id_, text) for id_, text in given.items()]
    return Facts(present + [fact(id_, "", missing=True) for id_ in wanted if id_ not in given])


def fixture(check: str, kind: str, wanted: tuple[str, ...]) -> tuple[Facts, str]:
    """The facts of one fixture folder and the verdict it expects."""
    folder = FIXTURES / check / kind
    given = {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.name != "expect"}
    assert set(given) <= set(wanted), f"{folder} holds facts the check does not name"
    return facts_of(given, wanted), (folder / "expect").read_text("utf-8").strip()

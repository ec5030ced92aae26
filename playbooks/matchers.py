"""Pure judgement of what one exchange saw, and redaction of what is kept of it.

Text is the answer decoded as Latin-1, so that every byte is one character. Regular expressions are RE2: linear
time whatever the far side sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import re2

from playbooks.formats import Check, Exchange, Matcher
from playbooks.interface import Outcome
from playbooks.steps.interface import Observation, Reach

MAX_EVIDENCE = 2048
ALWAYS_REDACTED = (
    r"(?i)(?:password|passwd|pwd|secret|token|requirepass|authorization)\S{0,3}[ =:]+\S+",
    r"(?is)-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
)


def matches(matcher: Matcher, seen: Observation) -> bool | None:
    """Whether one matcher holds; None when the part it looks at was not observed."""
    if matcher.kind == "open":
        return seen.reach in (Reach.ANSWERED, Reach.QUIET)
    part = seen.parts.get(matcher.part)
    if part is None:
        return None
    if matcher.kind == "number":
        if not re2.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", part):
            return None
        held = matcher.below is not None and float(part) < matcher.below
    else:
        hits = [_holds(matcher.kind, value, part) for value in matcher.values]
        held = all(hits) if matcher.every else any(hits)
    return held != matcher.negative


def _holds(kind: str, value: str, part: str) -> bool:
    if kind == "word":
        return value in part
    if kind == "binary":
        return bytes.fromhex(value).decode("latin-1") in part
    if kind == "member":
        return value in part.replace(",", " ").split()
    return re2.search(value, part) is not None


def judge(exchange: Exchange, seen: Observation) -> tuple[Outcome, str]:
    """The outcome of one exchange and, unless it is a finding or a pass, the reason.

    Silence, a cut connection, a refusal by the guard and a part that was not observed are never a pass.
    """
    if seen.reach is Reach.ERROR:
        return Outcome.ERROR, seen.reason
    if seen.reach in (Reach.SILENT, Reach.BLOCKED):
        return Outcome.NOT_TESTED, seen.reason
    if seen.reach is Reach.CLOSED:
        return (Outcome.PASS if exchange.closed == "pass" else Outcome.NOT_APPLICABLE), "port closed"
    if exchange.service:
        known = [matches(matcher, seen) for matcher in exchange.service]
        if not any(known):
            reason = seen.reason or "another service, or none that was recognised"
            quiet = seen.reach is Reach.QUIET or all(held is None for held in known)
            return (Outcome.NOT_TESTED if quiet else Outcome.NOT_APPLICABLE), reason
    held = [matches(matcher, seen) for matcher in exchange.matchers]
    if (exchange.every and all(held)) or (not exchange.every and any(held)):
        return Outcome.FINDING, ""
    if seen.reach is Reach.QUIET:
        return Outcome.NOT_TESTED, seen.reason or "connected, but nothing was said"
    if any(one is None for one in held):
        return Outcome.NOT_TESTED, seen.reason or "the property was not observed"
    return Outcome.PASS, ""


def merge(outcomes: Sequence[tuple[Outcome, str]]) -> tuple[Outcome, str]:
    """The outcome of a check from those of its exchanges: one finding is a finding, one untested port no pass."""
    for wanted in (Outcome.FINDING, Outcome.ERROR, Outcome.NOT_TESTED, Outcome.PASS):
        for outcome, reason in outcomes:
            if outcome is wanted:
                return outcome, reason
    return outcomes[0] if outcomes else (Outcome.NOT_TESTED, "nothing was tried")


def evidence(check: Check, seen: Observation) -> str:
    """What is kept: every observed part, redacted, control characters escaped, capped in bytes."""
    lines = []
    for name, part in sorted(seen.parts.items()):
        text = part
        # Redacted before it is cut: a secret across the cut would escape its pattern.
        for pattern in (*check.redact, *ALWAYS_REDACTED):
            text = re2.sub(pattern, "********", text)
        lines.append(f"{name}: {_printable(text)[: check.keep_bytes]}")
    return "\n".join(lines)[:MAX_EVIDENCE]


def _printable(text: str) -> str:
    with suppress(UnicodeEncodeError, UnicodeDecodeError):  # not UTF-8: shown byte by byte
        text = text.encode("latin-1").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)

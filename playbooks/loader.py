"""Reads checks, suites and engagements strictly; every refusal names file:line. Reads files, sends nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from ipaddress import ip_network
from pathlib import Path

import re2
import structlog

from monitor.errors import InputError, NotFoundError
from monitor.model import Kind, Severity
from playbooks.formats import (
    CaptureRule,
    Check,
    CheckTest,
    CredentialPolicy,
    Engagement,
    EngagementKind,
    Exchange,
    Limits,
    Matcher,
    Person,
    Safety,
    ScopeRules,
    StopCondition,
    Suite,
    Window,
)
from playbooks.interface import Outcome
from playbooks.steps.interface import Step
from playbooks.yamltree import Item, parse

log = structlog.get_logger(__name__)
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}\Z")
_ENGAGEMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EXCHANGE = frozenset(
    {"port", "inputs", "read-size", "timeout", "closed", "service", "matchers", "matchers-condition"}
)
_MATCHER_VALUES = {"word": "words", "regex": "regex", "binary": "binary", "member": "members"}
_YEAR_MS = 366 * 86_400_000


def load_check(text: str, file: str, steps: Mapping[str, Step]) -> Check:
    """One check. Raises InputError."""
    root = parse(text, file)
    protocols = sorted(key for key in root.entries() if key in steps)
    if len(protocols) != 1:
        root.fail(f"expected exactly one protocol block of {', '.join(sorted(steps))}")
    protocol = protocols[0]
    required = frozenset({"id", "kind", "info", "safety", "evidence", "tests", protocol})
    top = root.fields(required, frozenset({"inputs", "requires"}))
    top["kind"].choice("check")
    info = top["info"].fields(
        frozenset({"name", "author", "severity", "description", "remediation", "classification", "metadata"}),
        frozenset({"tags"}),
    )
    classes = info["classification"].fields(frozenset({"cve-id", "mlps"}))
    step = steps[protocol]
    inputs = _inputs(top.get("inputs"))
    exchanges = tuple(_exchange(item, step, inputs) for item in top[protocol].items(8))
    if not exchanges:
        top[protocol].fail("needs at least one exchange")
    packets = sum(step.packets(exchange) for exchange in exchanges)
    keep, redact = _evidence(top["evidence"])
    return Check(
        id=_identifier(top["id"], _ID),
        name=info["name"].text(most=128),
        authors=info["author"].texts(),
        severity=info["severity"].member(Severity),
        description=info["description"].text(),
        remediation=info["remediation"].text(),
        tags=info["tags"].texts() if "tags" in info else (),
        cve="" if classes["cve-id"].is_null else classes["cve-id"].text(most=32),
        mlps=classes["mlps"].texts(),
        safety=_safety(top["safety"]),
        not_kind=_not_kind(top.get("requires")),
        protocol=protocol,
        exchanges=exchanges,
        max_packets=_max_packets(info["metadata"], packets, len(exchanges)),
        keep_bytes=keep,
        redact=redact,
        tests=_tests(top["tests"]),
    )


def _identifier(item: Item, pattern: re.Pattern[str]) -> str:
    value = item.text(most=64)
    if not pattern.match(value):
        item.fail(f"{value!r} is not an identifier", "letters, digits, dots and hyphens")
    return value


def _safety(item: Item) -> Safety:
    value = item.text()
    if value not in set(Safety):
        item.fail(
            f"{value!r} is refused", "only safe and auth-probe checks exist here: nothing exploits or changes"
        )
    return Safety(value)


def _max_packets(item: Item, computed: int, requests: int) -> int:
    declared = item.fields(frozenset({"max-request"}))["max-request"].integer(1, 100)
    if requests > declared:
        item.fail(f"{requests} exchanges, but max-request says {declared}")
    return computed


def _inputs(item: Item | None) -> dict[str, str]:
    values = {}
    for name, entry in (item.entries() if item else {}).items():
        fields = entry.fields(frozenset({"type", "default"}))
        if fields["type"].choice("int", "str") == "int":
            values[name] = str(fields["default"].integer(-(2**31), 2**31))
        else:
            values[name] = fields["default"].text(empty=True)
    return values


def _fill(item: Item, inputs: Mapping[str, str], *, most: int = 4096) -> str:
    text = item.text(most=most)
    for name, value in inputs.items():
        text = text.replace("{{" + name + "}}", value)
    if "{{" in text:
        item.fail(f"no input fills {text!r}")
    return text


def _exchange(item: Item, step: Step, inputs: Mapping[str, str]) -> Exchange:
    fields = item.fields(frozenset({"port", "matchers"}), (_EXCHANGE | step.keys) - {"port", "matchers"})
    port = _fill(fields["port"], inputs)
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        fields["port"].fail(f"{port!r} is not a port")
    matchers = tuple(_matcher(entry) for entry in fields["matchers"].items(32))
    if not matchers:
        fields["matchers"].fail("needs at least one")
    data = []
    for entry in fields["inputs"].items(4) if "inputs" in fields else ():
        raw = entry.fields(frozenset({"data"}))["data"]
        try:
            data.append(_fill(raw, inputs, most=1024).encode("latin-1"))
        except UnicodeEncodeError:
            raw.fail("data is bytes: characters up to \\xff only")
    condition = fields["matchers-condition"].choice("and", "or") if "matchers-condition" in fields else "or"
    return Exchange(
        port=int(port),
        data=tuple(data),
        read_size=fields["read-size"].integer(1, 16384) if "read-size" in fields else 1024,
        timeout=fields["timeout"].number(0.1, 5) if "timeout" in fields else 3.0,
        closed=fields["closed"].choice("pass", "not_applicable") if "closed" in fields else "not_applicable",
        service=tuple(_matcher(m) for m in fields["service"].items(32)) if "service" in fields else (),
        matchers=matchers,
        every=condition == "and",
        options={key: fields[key].texts(16) for key in sorted(step.keys & fields.keys())} or None,
    )


def _matcher(item: Item) -> Matcher:
    kind = item.entries().get("type", item).choice("word", "regex", "binary", "member", "number", "open")
    optional = {"part", "negative"}
    if kind == "open":
        item.fields(frozenset({"type"}))
        return Matcher("open")
    if kind == "number":
        fields = item.fields(frozenset({"type", "part", "below"}), frozenset({"negative"}))
        return Matcher(
            kind,
            fields["part"].text(most=64),
            negative="negative" in fields and fields["negative"].boolean(),
            below=fields["below"].number(-math.inf, math.inf),
        )
    key = _MATCHER_VALUES[kind]
    fields = item.fields(frozenset({"type", key}), frozenset(optional | {"condition"}))
    entries = fields[key].items(64)
    if not entries:
        fields[key].fail("needs at least one value")
    parser = {"regex": _regex, "binary": bytes.fromhex}.get(kind, str)
    return Matcher(
        kind,
        fields["part"].text(most=64) if "part" in fields else "response",
        tuple(entry.checked(parser) for entry in entries),
        "condition" in fields and fields["condition"].choice("and", "or") == "and",
        "negative" in fields and fields["negative"].boolean(),
    )


def _regex(text: str) -> object:
    try:
        return re2.compile(text)
    except re2.error as error:
        raise ValueError(f"not a regular expression (RE2): {error}") from error


def _not_kind(item: Item | None) -> tuple[Kind, ...]:
    if item is None:
        return ()
    return tuple(entry.member(Kind) for entry in item.fields(frozenset({"not_kind"}))["not_kind"].items())


def _evidence(item: Item) -> tuple[int, tuple[str, ...]]:
    fields = item.fields(frozenset({"keep"}), frozenset({"redact"}))
    keep = 0
    for entry in fields["keep"].items(1):
        found = re.fullmatch(r"response-(\d{1,4})", entry.text())
        if not found or int(found[1]) > 1024:
            entry.fail("expected response-N with N up to 1024")
        keep = int(found[1])
    patterns = fields["redact"].items(16) if "redact" in fields else []
    return keep, tuple(entry.checked(_regex) for entry in patterns)


def _tests(item: Item) -> tuple[CheckTest, ...]:
    tests = []
    for entry in item.items(64):
        fields = entry.fields(frozenset({"given", "expect"}))
        given = fields["given"]
        if given.is_mapping:
            parts = {name: value.text(empty=True) for name, value in given.entries().items()}
        else:
            parts = {"response": given.text(empty=True)}
        tests.append(CheckTest(parts, str(fields["expect"].member(Outcome)), entry.node.start_mark.line + 1))
    if not {"finding", "pass"} <= {test.expect for test in tests}:
        item.fail("a check needs at least one test that expects finding and one that expects pass")
    return tuple(tests)


def load_suite(text: str, file: str) -> Suite:
    """One suite. Raises InputError."""
    fields = parse(text, file).fields(frozenset({"suite", "name", "checks"}))
    checks = tuple(_identifier(entry, _ID) for entry in fields["checks"].items(200))
    if not checks or len(set(checks)) != len(checks):
        fields["checks"].fail("needs at least one check, each once")
    return Suite(_identifier(fields["suite"], _ID), fields["name"].text(most=128), checks)


def load_engagement(text: str, file: str) -> Engagement:
    """One engagement. Raises InputError."""
    top = parse(text, file).fields(
        frozenset(
            {"engagement", "kind", "requester", "approvers", "authorisation", "scope", "limits", "suite"}
        ),
        frozenset({"title", "credentials", "stop_if", "capture"}),
    )
    authorisation = top["authorisation"].fields(frozenset({"document_sha256", "window"}))
    sha256 = authorisation["document_sha256"].text()
    if not _SHA256.match(sha256):
        authorisation["document_sha256"].fail("expected 64 lower-case hexadecimal digits")
    identifier = _identifier(top["engagement"], _ENGAGEMENT_ID)
    suites = tuple(_identifier(entry, _ID) for entry in top["suite"].items(32))
    if not suites:
        top["suite"].fail("needs at least one suite")
    return Engagement(
        id=identifier,
        title=top["title"].text(most=128) if "title" in top else identifier,
        kind=top["kind"].member(EngagementKind),
        requester=_person(top["requester"]),
        approvers=_approvers(top["approvers"], _person(top["requester"])),
        document_sha256=sha256,
        window=_window(authorisation["window"]),
        scope=_scope(top["scope"]),
        limits=_limits(top["limits"]),
        credentials=_credentials(top.get("credentials")),
        suite=suites,
        stop_if=tuple(_stop(entry) for entry in top["stop_if"].items(16)) if "stop_if" in top else (),
        capture=_capture(top.get("capture")),
    )


def _person(item: Item) -> Person:
    fields = item.fields(frozenset({"user", "site"}))
    return Person(fields["user"].text(most=128), fields["site"].text(most=64))


def _approvers(item: Item, requester: Person) -> tuple[Person, ...]:
    people = tuple(_person(entry) for entry in item.items(16))
    users = {person.user for person in people}
    if len(users) < 2 or len(users) != len(people):
        item.fail("needs at least two different people, each once")
    if requester.user in users:
        item.fail(f"{requester.user!r} asked for it and cannot approve it")
    return people


def _window(item: Item) -> Window:
    fields = item.fields(frozenset({"from", "to"}), frozenset({"days"}))
    begin, end = _time(fields["from"]), _time(fields["to"])
    begin_ms, end_ms = round(begin.timestamp() * 1000), round(end.timestamp() * 1000)
    if not begin_ms < end_ms <= begin_ms + _YEAR_MS:
        fields["to"].fail("must be after `from`, and at most a year later")
    days = tuple(range(1, 8))
    if "days" in fields:
        days = tuple(sorted({_DAYS.index(entry.choice(*_DAYS)) + 1 for entry in fields["days"].items(7)}))
    if not days:
        fields["days"].fail("needs at least one day")
    offset = begin.utcoffset()
    return Window(begin_ms, end_ms, days, int(offset.total_seconds() // 60) if offset else 0)


def _time(item: Item) -> datetime:
    text = item.text(most=40)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        item.fail(f"{text!r} is not a time", "write 2026-11-22T01:00:00+08:00")
    if moment.tzinfo is None:
        item.fail("the time has no UTC offset", "write 2026-11-22T01:00:00+08:00")
    return moment


def _scope(item: Item) -> ScopeRules:
    fields = item.fields(frozenset({"include"}), frozenset({"exclude", "exclude_tags"}))
    include = tuple(_selector(entry) for entry in fields["include"].items())
    if not include:
        fields["include"].fail("must name what may be tested")
    exclude = tuple(_selector(entry) for entry in fields["exclude"].items()) if "exclude" in fields else ()
    return ScopeRules(include, exclude, fields["exclude_tags"].texts() if "exclude_tags" in fields else ())


def _selector(item: Item) -> str:
    text = item.text(most=128)
    if text.startswith(("site:", "device:")) and text.partition(":")[2]:
        return text
    try:
        return str(ip_network(text, strict=True))
    except ValueError:
        item.fail(f"{text!r} is neither site:ID, device:ID, an address nor a network")


def _limits(item: Item) -> Limits:
    fields = item.fields(frozenset({"pps", "per_host_pps", "concurrent_hosts", "max_packets"}))
    return Limits(
        fields["pps"].integer(1, 2000),
        fields["per_host_pps"].integer(1, 200),
        fields["concurrent_hosts"].integer(1, 256),
        fields["max_packets"].integer(1, 5_000_000),
    )


def _credentials(item: Item | None) -> CredentialPolicy:
    if item is None:
        return CredentialPolicy()
    inner = item.fields(frozenset({"default_creds"}))["default_creds"]
    fields = inner.fields(
        frozenset({"enabled", "attempts_per_account", "per_device_per_day"}), frozenset({"lockout"})
    )
    lockout = fields["lockout"].text() if "lockout" in fields else "unknown"
    if lockout not in ("none", "unknown") and not (lockout.isdigit() and 1 <= int(lockout) <= 100):
        fields["lockout"].fail("expected none, unknown or a number of failures")
    return CredentialPolicy(
        fields["enabled"].boolean(),
        fields["attempts_per_account"].integer(1, 3),
        fields["per_device_per_day"].integer(1, 10),
        lockout,
    )


def _stop(item: Item) -> StopCondition:
    text = item.text(most=64)
    if text == "device_down_in_scope":
        return StopCondition(text, text)
    if found := re.fullmatch(r"loss_over: (\d{1,2}(?:\.\d+)?)%", text):
        return StopCondition("loss_over", text, ratio=float(found[1]) / 100)
    found = re.fullmatch(r"alert_severity: (\w+)", text)
    if not found or found[1] not in set(Severity):
        item.fail(
            f"{text!r} is no stop condition", "device_down_in_scope, loss_over: N% or alert_severity: WORD"
        )
    return StopCondition("alert_severity", text, severity=Severity(found[1]))


def _capture(item: Item | None) -> CaptureRule:
    if item is None:
        return CaptureRule()
    fields = item.fields(frozenset({"devices"}), frozenset({"max_bytes"}))
    most = fields["max_bytes"].integer(1000, 10_000_000) if "max_bytes" in fields else 2_000_000
    return CaptureRule(fields["devices"].texts(16), most)


class Library:
    """Checks and suites: those shipped here, and those of further folders (with `checks/` and `suites/` inside).

    A file of a further folder that is wrong is left out and logged; a wrong one of ours is an error.
    """

    def __init__(self, steps: Mapping[str, Step], folders: Sequence[Path] = ()) -> None:
        self.checks: dict[str, Check] = {}
        self.suites: dict[str, Suite] = {}
        self._steps = steps
        shipped = Path(str(files("playbooks"))) / "library"
        for folder in (shipped, *folders):
            for path in (*sorted(folder.glob("checks/*.yml")), *sorted(folder.glob("suites/*.yml"))):
                try:
                    self._add(path)
                except (InputError, OSError, UnicodeDecodeError) as error:
                    if folder is shipped:
                        raise
                    log.error("a playbook file is left out", file=str(path), reason=str(error))

    def _add(self, path: Path) -> None:
        text = path.read_text("utf-8")
        if path.parent.name == "checks":
            self._add_check(load_check(text, str(path), self._steps), path)
        else:
            self._add_suite(load_suite(text, str(path)), path)

    def _add_check(self, check: Check, path: Path) -> None:
        if check.id in self.checks:
            raise InputError(f"check {check.id!r} exists already", where=str(path))
        self.checks[check.id] = check

    def _add_suite(self, suite: Suite, path: Path) -> None:
        unknown = [check for check in suite.checks if check not in self.checks]
        if unknown or suite.id in self.suites:
            problem = f"no check {unknown[0]!r}" if unknown else f"suite {suite.id!r} exists already"
            raise InputError(problem, where=str(path))
        self.suites[suite.id] = suite

    def selected(self, engagement: Engagement) -> tuple[Check, ...]:
        """The checks of an engagement in order, each once. Raises NotFoundError for an unknown suite."""
        chosen: dict[str, Check] = {}
        for name in engagement.suite:
            if name not in self.suites:
                raise NotFoundError(f"no suite {name!r}", zh=f"没有检查集 {name}", where=engagement.id)
            chosen.update({check: self.checks[check] for check in self.suites[name].checks})
        return tuple(chosen.values())

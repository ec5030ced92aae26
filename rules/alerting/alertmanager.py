"""An Alertmanager v2 compatible API over the state database: what karma, Grafana and amtool read and write.

Mounted at /alertmanager/api/v2. Alerts come from our own engine, so POST /alerts answers 405.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import re2
from flask import Blueprint, Response, request
from sqlalchemy import select

from monitor.audit import AuditLog
from monitor.clock import Clock, to_datetime
from monitor.database import Database
from monitor.errors import InputError, NotFoundError
from rules.alerting.interface import AlertState
from rules.alerting.records import Topology, silence_of
from rules.alerting.silences import (
    MAX_SILENCE_MS,
    Silence,
    SilenceMatcher,
    dump_matchers,
    parse_matchers,
)
from rules.alerting.states import Phase
from rules.alerting.tables import AlertRow, SilenceRow, next_version
from rules.alerting.upkeep import reconcile

Json = dict[str, Any]
_ACTOR = "api"
_KEEP_EXPIRED_MS = 5 * 86_400_000
_FILTER = r'^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"?((?:[^"\\]|\\.)*?)"?\s*$'


class AlertmanagerApi:
    """Reads and silences alerts in Alertmanager's terms. Every write is audited."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        topology: Callable[[], Topology],
        receivers: Sequence[str],
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._topology = topology
        self._receivers = [{"name": name} for name in receivers or ("desk",)]
        self._started = clock.now_ms()

    def blueprint(self) -> Blueprint:
        """The routes."""
        made = Blueprint("alertmanager", __name__, url_prefix="/alertmanager/api/v2")
        made.get("/status")(self._status)
        made.get("/receivers", endpoint="receivers")(lambda: _reply(self._receivers))
        made.get("/alerts", endpoint="alerts")(lambda: _reply(self.alerts(request.args.to_dict(flat=False))))
        made.get("/alerts/groups", endpoint="groups")(
            lambda: _reply(self.groups(request.args.to_dict(flat=False)))
        )
        made.get("/silences", endpoint="silences")(
            lambda: _reply(self.silences(request.args.getlist("filter")))
        )
        made.post("/silences")(self._post_silence)
        made.get("/silence/<silence_id>", endpoint="silence")(
            lambda silence_id: _reply(self.silence(silence_id))
        )
        made.delete("/silence/<silence_id>")(self._delete_silence)
        made.register_error_handler(InputError, lambda error: _reply(str(error), 400))
        made.register_error_handler(NotFoundError, lambda error: _reply(str(error), 404))
        return made

    def _status(self) -> Response:
        info = {"version": version("zhishou"), "branch": "", "revision": "", "buildUser": "", "buildDate": ""}
        return _reply(
            {
                "cluster": {"status": "disabled", "peers": []},
                "versionInfo": info | {"goVersion": ""},
                "config": {"original": ""},
                "uptime": _time(self._started),
            }
        )

    def alerts(self, arguments: Mapping[str, Sequence[str]]) -> list[Json]:
        """Firing alerts, as GET /alerts. Arguments: active, silenced, inhibited, filter, receiver."""
        wanted = [_matcher(text) for text in arguments.get("filter", ())]
        receiver = arguments.get("receiver", [""])[0]
        if receiver and not any(re2.fullmatch(receiver, item["name"]) for item in self._receivers):
            return []
        shown = {
            name: arguments.get(name, ["true"])[0] != "false" for name in ("active", "silenced", "inhibited")
        }
        with self._database.session() as session:
            rows = list(session.scalars(select(AlertRow).where(AlertRow.phase == Phase.FIRING)))
            stored = [silence_of(row) for row in session.scalars(select(SilenceRow))]
        now = self._clock.now_ms()
        active = [silence for silence in stored if silence.status(now) == "active"]
        fingerprints = {row.id: _fingerprint(json.loads(row.labels)) for row in rows}
        found = []
        for row in sorted(rows, key=lambda row: row.id):
            labels = json.loads(row.labels)
            by = [silence.id for silence in active if silence.covers(labels)]
            if not all(matcher.matches(labels) for matcher in wanted):
                continue
            alert = self._alert(row, labels, by, fingerprints)
            kind = _kind(alert["status"])
            if shown[kind]:
                found.append(alert)
        return found

    def _alert(
        self, row: AlertRow, labels: Mapping[str, str], by: Sequence[str], fingerprints: Mapping[int, str]
    ) -> Json:
        root = fingerprints.get(row.root_id or 0)
        inhibited = [root] if root else []
        suppressed = bool(by or inhibited) or row.state == AlertState.SHELVED
        return {
            "labels": labels,
            "annotations": json.loads(row.annotations),
            "startsAt": _time(row.fired_at or row.active_at),
            "endsAt": _time(self._clock.now_ms() + 240_000),
            "updatedAt": _time(self._clock.now_ms()),
            "fingerprint": fingerprints[row.id],
            "generatorURL": "",
            "receivers": self._receivers,
            "status": {
                "state": "suppressed" if suppressed else "active",
                "silencedBy": list(by),
                "inhibitedBy": inhibited,
            },
        }

    def groups(self, arguments: Mapping[str, Sequence[str]]) -> list[Json]:
        """Alerts grouped by name, as GET /alerts/groups."""
        by_name: dict[str, list[Json]] = {}
        for alert in self.alerts(arguments):
            by_name.setdefault(alert["labels"].get("alertname", ""), []).append(alert)
        return [
            {"labels": {"alertname": name}, "receiver": self._receivers[0], "alerts": alerts}
            for name, alerts in sorted(by_name.items())
        ]

    def silences(self, filters: Sequence[str]) -> list[Json]:
        """Silences that are pending, active or expired within five days."""
        wanted = [_matcher(text) for text in filters]
        oldest = self._clock.now_ms() - _KEEP_EXPIRED_MS
        with self._database.session() as session:
            rows = list(session.scalars(select(SilenceRow).where(SilenceRow.ends_at > oldest)))
        found = [silence_of(row) for row in rows]
        if wanted:
            found = [s for s in found if all(_touches(s, matcher) for matcher in wanted)]
        now = self._clock.now_ms()
        order = {"active": 0, "pending": 1, "expired": 2}
        return [_silence(s, now) for s in sorted(found, key=lambda s: (order[s.status(now)], s.ends_at))]

    def silence(self, silence_id: str) -> Json:
        """One silence; NotFoundError."""
        with self._database.session() as session:
            row = session.get(SilenceRow, silence_id)
            if row is None:
                raise NotFoundError(f"silence {silence_id} not found", zh=f"没有静默规则 {silence_id}")
            return _silence(silence_of(row), self._clock.now_ms())

    def _post_silence(self) -> Response:
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise InputError("expected a JSON object", where="silence")
        return _reply({"silenceID": self.put_silence(body)})

    def put_silence(self, body: Mapping[str, Any]) -> str:
        """Create a silence, or replace the one whose id is given; returns its id. InputError when it is wrong."""
        now = self._clock.now_ms()
        matchers = parse_matchers(body.get("matchers"))
        starts, ends = max(_parse_time(body, "startsAt"), now), _parse_time(body, "endsAt")
        actor, comment = str(body.get("createdBy", "")).strip(), str(body.get("comment", "")).strip()
        if ends <= starts:
            raise InputError("endsAt must be after startsAt and in the future", where="silence")
        if ends - now > MAX_SILENCE_MS:
            raise InputError("a silence may last at most 7 days", where="silence", zh="静默最长 7 天")
        if not actor or not comment:
            raise InputError("createdBy and comment are needed", where="silence", zh="请填写创建人和原因")
        old = str(body.get("id") or "")
        with self._database.session() as session:
            stamp = next_version(session)
            if old:
                previous = session.get(SilenceRow, old)
                if previous is None:
                    raise NotFoundError(f"silence {old} not found", zh=f"没有静默规则 {old}")
                previous.ends_at, previous.updated_at = min(previous.ends_at, now), now
            row = SilenceRow(
                id=str(uuid.uuid4()),
                matchers=dump_matchers(matchers),
                starts_at=starts,
                ends_at=ends,
                created_by=actor,
                comment=comment,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            reconcile(session, stamp, now, self._topology())
        self._audit.record(_ACTOR, "silence.create", row.id, {"by": actor, "comment": comment})
        return row.id

    def _delete_silence(self, silence_id: str) -> Response:
        now = self._clock.now_ms()
        with self._database.session() as session:
            stamp = next_version(session)
            row = session.get(SilenceRow, silence_id)
            if row is None:
                raise NotFoundError(f"silence {silence_id} not found", zh=f"没有静默规则 {silence_id}")
            row.ends_at, row.updated_at = min(row.ends_at, now), now
            session.flush()
            reconcile(session, stamp, now, self._topology())
        self._audit.record(_ACTOR, "silence.expire", silence_id)
        return Response(status=200)


def _kind(status: Mapping[str, Any]) -> str:
    if status["inhibitedBy"]:
        return "inhibited"
    return "silenced" if status["state"] == "suppressed" else "active"


def _silence(silence: Silence, now: int) -> Json:
    return {
        "id": silence.id,
        "matchers": [matcher.as_json() for matcher in silence.matchers],
        "startsAt": _time(silence.starts_at),
        "endsAt": _time(silence.ends_at),
        "updatedAt": _time(silence.updated_at),
        "createdBy": silence.created_by,
        "comment": silence.comment,
        "status": {"state": silence.status(now)},
    }


def _touches(silence: Silence, wanted: SilenceMatcher) -> bool:
    """Whether a silence has a matcher on that label whose value passes the filter."""
    return any(m.name == wanted.name and wanted.matches({m.name: m.value}) for m in silence.matchers)


def _matcher(text: str) -> SilenceMatcher:
    """A filter such as alertname="DeviceDown" or site=~"H0.*"."""
    match = re2.match(_FILTER, text)
    if match is None:
        raise InputError(f"bad matcher {text!r}", where="filter", hint='write name="value"')
    name, operator, value = match.groups()
    plain = value.replace('\\"', '"').replace("\\\\", "\\")
    matcher = SilenceMatcher(name, plain, operator.endswith("~"), operator.startswith("="))
    matcher.matches({})  # a bad regular expression is reported here
    return matcher


def _parse_time(body: Mapping[str, Any], name: str) -> int:
    text = body.get(name)
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise InputError(f"{name} is not an RFC 3339 time: {text!r}", where="silence") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _fingerprint(labels: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()[:16]


def _time(ms: int) -> str:
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reply(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")

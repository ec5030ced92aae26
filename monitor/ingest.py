"""The core's door for collectors: events in, assignments out.

POST /api/v1/ingest/events            NDJSON of {"id": ..., "event": {flat ECS}}; stored, then 204
GET  /api/v1/collectors/ID/assignment what the collector polls, with credentials; ETag and 304
Poll results and heartbeats among the events are also projected into the directory's status tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from flask import Blueprint, Response, request
from prometheus_client import Counter

from monitor.credentials import Credentials
from monitor.directory import CollectorStatus, ModuleStatus
from monitor.discovery.projection import is_passing, project
from monitor.discovery.rooms import open_discovery
from monitor.documents import full_document
from monitor.errors import InputError, ZhishouError
from monitor.events.interface import Event
from monitor.model import DeviceId
from monitor.service import Runtime

log = structlog.get_logger(__name__)
MAX_BODY = 32 << 20
MAX_AHEAD_MS = 60_000  # what a collector's clock may be ahead of ours
POLL = "zhishou.poll"
HEARTBEAT = "zhishou.collector"


@dataclass(frozen=True, slots=True)
class _Share:
    """What of one version of the inventory is a collector's; `devices` is JSON."""

    version: str
    devices: str
    digest: str
    names: frozenset[str]
    regions: Mapping[str, str]


class Ingest:
    """The ingest service."""

    name = "ingest"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._credentials = Credentials(runtime.database, runtime.vault)
        self._discovery = open_discovery(
            runtime.database, runtime.directory, self._credentials, runtime.audit, runtime.clock
        )
        self._shares: dict[str, _Share] = {}
        self._known: dict[tuple[str, str], tuple[bool, str]] = {}
        self._events = Counter(
            "zhishou_events_ingested_total",
            "Events stored, by dataset",
            ["dataset"],
            registry=runtime.registry,
        )

        self._foreign = Counter(
            "zhishou_events_foreign_total",
            "Events refused because their site is another collector's",
            registry=runtime.registry,
        )

    def blueprints(self) -> Sequence[Blueprint]:
        """The two endpoints."""
        blueprint = Blueprint("ingest", __name__)
        blueprint.add_url_rule("/api/v1/ingest/events", view_func=self.receive, methods=["POST"])
        blueprint.add_url_rule("/api/v1/collectors/<collector>/assignment", view_func=self.assignment)
        return [blueprint]

    def start(self) -> None:
        """Nothing runs on its own."""

    def stop(self) -> None:
        """Nothing runs on its own."""

    def receive(self) -> Response:
        """Store a batch of events; 400 names the bad line and stores nothing of the batch."""
        if (request.content_length or 0) > MAX_BODY:
            return Response("batch over 32 MiB; send smaller ones", 413)
        try:
            batch = parse(request.get_data(cache=False))
        except InputError as error:
            return Response(str(error), 400)
        batch = self._own(batch, request.headers.get("X-Zhishou-Collector", ""))
        told = self._project(batch)
        changes = [(key, event) for key, event in batch if self._is_history(event)]
        self._runtime.events.append([*changes, *told])
        for _, event in batch:
            self._events.labels(str(event.get("event.dataset") or "other")).inc()
        return Response(status=204)

    def assignment(self, collector: str) -> Response:
        """The devices of the sites this collector serves."""
        version, document = self._assignment(collector)
        etag = f'"{version}"'
        if request.headers.get("If-None-Match") == etag:
            return Response(status=304, headers={"ETag": etag})
        return Response(
            document, content_type="application/json", headers={"ETag": etag, "Cache-Control": "no-store"}
        )

    def _assignment(self, collector: str) -> tuple[str, str]:
        """(version, JSON document) of what a collector does."""
        share = self._share(collector)
        orders = self._discovery.scans.orders(share.regions.keys())
        names = share.names | {name for order in orders for name in order.credentials}
        credentials: dict[str, dict[str, str]] = {}
        for name in sorted(names):
            try:
                kind, values = self._credentials.get(name)
                credentials[name] = {"kind": kind, **values}
            except ZhishouError as error:
                log.error("a credential is not available", credential=name, error=str(error))
        rest = json.dumps(
            {
                "regions": share.regions,
                "credentials": credentials,
                "scans": [full_document(order) for order in orders],
            },
            ensure_ascii=False,
            sort_keys=True,
        )
        version = hashlib.sha256(f"{share.digest}{rest}".encode()).hexdigest()[:32]
        return version, f'{{"version": "{version}", "devices": {share.devices}, {rest[1:]}'

    def _share(self, collector: str) -> _Share:
        """The collector's part of the inventory, written out once for each version: collectors ask often."""
        version = self._runtime.directory.version()
        share = self._shares.get(collector)
        if share is None or share.version != version:
            inventory = self._runtime.directory.inventory()
            sites = {s.id: s for s in inventory.sites.values() if s.collector == collector}
            devices = [full_document(d) for d in inventory.devices.values() if d.site in sites]
            text = json.dumps(devices, ensure_ascii=False)
            share = _Share(
                version=version,
                devices=text,
                digest=hashlib.sha256(text.encode()).hexdigest(),
                names=frozenset(a["credential"] for d in devices for a in (d["snmp"], d["ssh"]) if a),
                regions={str(s.id): s.region for s in sites.values()},
            )
            self._shares[collector] = share
        return share

    def _own(self, batch: list[tuple[str, Event]], collectors: str) -> list[tuple[str, Event]]:
        """What a token bound to collectors may say: their heartbeats, what concerns no site (traps from unknown
        addresses; only those who see the whole city see it), and events of the sites they serve.
        """
        if not collectors:
            return batch
        names = frozenset(collectors.split(","))
        inventory = self._runtime.directory.inventory()
        sites = {str(s.id) for s in inventory.sites.values() if s.collector in names}

        def own(event: Event) -> bool:
            placeless = not event.get("zhishou.site") and not event.get("zhishou.device")
            if event.get("event.dataset") == HEARTBEAT or placeless:
                return event.get("zhishou.collector") in names
            device = inventory.devices.get(DeviceId(str(event.get("zhishou.device") or "")))
            return event.get("zhishou.site") in sites and (device is None or device.site in sites)

        kept = [(key, event) for key, event in batch if own(event)]
        if len(kept) < len(batch):
            self._foreign.inc(len(batch) - len(kept))
            log.warning("events of other collectors' sites refused", collectors=collectors)
        return kept

    def _is_history(self, event: Event) -> bool:
        """Heartbeats and the progress of scans are no history; a poll is only when it differs from the one before."""
        if event.get("event.dataset") == HEARTBEAT or is_passing(event):
            return False
        if event.get("event.dataset") != POLL:
            return True
        key = (str(event.get("zhishou.device")), str(event.get("zhishou.module")))
        state = (bool(event.get("zhishou.up")), str(event.get("zhishou.errors") or "[]"))
        before = self._known.get(key)
        self._known[key] = state
        return before != state and (before is not None or not state[0])

    def _project(self, batch: Sequence[tuple[str, Event]]) -> list[tuple[str, Event]]:
        """Into the tables; returns the events that follow from it."""
        now = self._runtime.clock.now_ms()
        statuses = [_status(event, now) for _, event in batch if event.get("event.dataset") == POLL]
        if statuses:
            self._runtime.directory.record_statuses(statuses)
        for _, event in batch:
            if event.get("event.dataset") == HEARTBEAT:
                self._runtime.directory.record_heartbeat(_heartbeat(event))
        return project(self._discovery, batch, statuses)


def parse(body: bytes) -> list[tuple[str, Event]]:
    """(id, event) pairs of an NDJSON body. InputError names the line."""
    batch: list[tuple[str, Event]] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            key, event = document["id"], document["event"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError('expected {"id": ..., "event": {...}}', where=f"line {number}") from None
        if not isinstance(key, str) or not key or not isinstance(event, dict):
            raise InputError("id must be a text and event an object", where=f"line {number}")
        at = event.get("@timestamp")
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < 1 << 43:
            raise InputError("an event needs @timestamp in milliseconds", where=f"line {number}")
        if event.get("event.dataset") == POLL:
            _check_poll(event, number)
        batch.append((key, event))
    return batch


def _check_poll(event: Event, number: int) -> None:
    for name, kind in (("zhishou.errors", list), ("zhishou.identity", dict), ("zhishou.detail", dict)):
        try:
            fine = isinstance(json.loads(str(event.get(name) or ("[]" if kind is list else "{}"))), kind)
        except (ValueError, RecursionError):
            fine = False
        if not fine:
            raise InputError(f"{name} must be a JSON {kind.__name__}", where=f"line {number}")


def _status(event: Event, now_ms: int) -> ModuleStatus:
    # A collector whose clock is ahead must not freeze a status until the time it believed it was.
    at = _int(event.get("@timestamp"))
    at = at if at <= now_ms + MAX_AHEAD_MS else now_ms
    identity: Mapping[str, str] = json.loads(str(event.get("zhishou.identity") or "{}"))
    return ModuleStatus(
        device=DeviceId(str(event.get("zhishou.device"))),
        module=str(event.get("zhishou.module")),
        up=bool(event.get("zhishou.up")),
        checked_at=at,
        changed_at=at,
        errors=tuple(json.loads(str(event.get("zhishou.errors") or "[]"))),
        identity=identity,
        detail=json.loads(str(event.get("zhishou.detail") or "{}")),
    )


def _heartbeat(event: Event) -> CollectorStatus:
    return CollectorStatus(
        str(event.get("zhishou.collector")),
        _int(event.get("@timestamp")),
        _int(event.get("zhishou.spooled_samples")),
        _int(event.get("zhishou.devices")),
    )


def _int(value: str | float | bool | None) -> int:
    return int(value) if isinstance(value, int | float) else 0


def build(runtime: Runtime) -> Ingest:
    """The entry point of `zhishou.services`."""
    return Ingest(runtime)

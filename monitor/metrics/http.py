"""The Prometheus HTTP API under /prometheus: everything promtool, Grafana and other clients ask for.

Rules and alerts come from `app.extensions["zhishou.rules"]`, a `RuleSource` that the alerting service puts there.
"""

from __future__ import annotations

from flask import Blueprint

from monitor.clock import Clock
from monitor.metrics.api import rules
from monitor.metrics.api.answers import failed, plain, refused
from monitor.metrics.api.federate import FederationView
from monitor.metrics.api.gate import QueryGate
from monitor.metrics.api.imports import ImportView
from monitor.metrics.api.parts import Parts, Server, Targets
from monitor.metrics.api.queries import QueryViews
from monitor.metrics.api.rules import RULES_EXTENSION, RuleSource
from monitor.metrics.api.selections import SelectionViews
from monitor.metrics.api.status import StatusViews
from monitor.metrics.api.targets import TargetViews
from monitor.metrics.errors import QueryError
from monitor.metrics.interface import Limits, MetricStore, QueryEngine
from monitor.metrics.metadata import Metadata, MetricMetadata
from monitor.metrics.refusals import Refusals
from monitor.metrics.write_http import Sites, add_write

__all__ = ["PREFIX", "RULES_EXTENSION", "QueryGate", "RuleSource", "Server", "prometheus_api", "query_gate"]

PREFIX = "/prometheus"
_BOTH = ("GET", "POST")
_QUEUE = 8
_WAIT_SECONDS = 5.0


def query_gate(places: int = 16) -> QueryGate:
    """A gate for so many queries at a time; a few more may wait some seconds for their turn."""
    return QueryGate(places, queue=_QUEUE, wait_seconds=_WAIT_SECONDS)


def prometheus_api(
    store: MetricStore,
    queries: QueryEngine,
    clock: Clock,
    *,
    targets: Targets,
    sites: Sites | None = None,
    metadata: Metadata | None = None,
    gate: QueryGate | None = None,
    limits: Limits | None = None,
    server: Server | None = None,
    refusals: Refusals | None = None,
) -> Blueprint:
    """The blueprint of the API over one store and engine.

    `sites`: which ones given collectors may write of. `limits`: of one query. `refusals`: told when the disk takes
    no samples.
    """
    parts = Parts(
        store,
        queries,
        clock,
        gate=gate or query_gate(),
        limits=limits or Limits(),
        targets=targets,
        metadata=metadata or MetricMetadata(),
        server=server or Server(started_ms=clock.now_ms()),
    )
    root = Blueprint("prometheus", __name__, url_prefix=PREFIX)
    root.add_url_rule("/", "root", lambda: plain("a Prometheus-compatible HTTP API", 200))
    for probe in ("healthy", "ready"):
        root.add_url_rule(f"/-/{probe}", probe, lambda: plain("Zhishou is up.", 200))
    root.add_url_rule("/federate", "federate", FederationView(parts).federate)
    root.register_blueprint(_version_1(parts, sites, refusals))
    root.register_error_handler(QueryError, refused)
    root.register_error_handler(Exception, failed)
    return root


def _version_1(parts: Parts, sites: Sites | None, refusals: Refusals | None) -> Blueprint:
    query, selection = QueryViews(parts), SelectionViews(parts)
    target, status = TargetViews(parts), StatusViews(parts)
    blueprint = Blueprint("v1", __name__, url_prefix="/api/v1")
    for rule, view, methods in (
        ("/query", query.query, _BOTH),
        ("/query_range", query.query_range, _BOTH),
        ("/query_exemplars", query.query_exemplars, _BOTH),
        ("/format_query", query.format_query, _BOTH),
        ("/series", selection.series, _BOTH),
        ("/labels", selection.labels, _BOTH),
        ("/label/<name>/values", selection.label_values, ("GET",)),
        ("/metadata", target.metadata, ("GET",)),
        ("/targets", target.targets, ("GET",)),
        ("/targets/metadata", target.target_metadata, ("GET",)),
        ("/scrape_pools", target.scrape_pools, ("GET",)),
        ("/rules", rules.rules, ("GET",)),
        ("/alerts", rules.alerts, ("GET",)),
        ("/alertmanagers", rules.alertmanagers, ("GET",)),
        ("/status/buildinfo", status.buildinfo, ("GET",)),
        ("/status/runtimeinfo", status.runtimeinfo, ("GET",)),
        ("/status/flags", status.flags, ("GET",)),
        ("/status/config", status.config, ("GET",)),
        ("/status/tsdb", status.tsdb, ("GET",)),
        ("/import/prometheus", ImportView(parts, sites).import_prometheus, ("POST",)),
    ):
        blueprint.add_url_rule(rule, view.__name__, view, methods=methods)
    add_write(blueprint, parts.store, sites=sites, metadata=parts.metadata, refusals=refusals)
    return blueprint

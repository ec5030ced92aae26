"""The OpenAPI 3.1 document, written from the route table: a route that exists is in it."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from dashboards.api.declare import DEFAULT_LIMIT, MAX_LIMIT, Declaration, declaration_of
from dashboards.condition import Notice
from dashboards.scope import PUBLIC, access_of
from monitor.discovery.interface import ChangeView, ProposalView, RangeView, ScanView
from monitor.jobs import JobView
from monitor.metrics.condition import StoreReport
from monitor.model import Device, Site
from monitor.topology.graph import Conflict, Link, Node
from playbooks.interface import EngagementView, FindingView
from rules.alerting.interface import AlertView
from rules.compliance.interface import AssessmentView

_SCHEMAS: dict[str, type] = {
    "Site": Site,
    "Device": Device,
    "Alert": AlertView,
    "Assessment": AssessmentView,
    "Finding": FindingView,
    "Engagement": EngagementView,
    "Job": JobView,
    "MapNode": Node,
    "MapLink": Link,
    "MapConflict": Conflict,
    "Notice": Notice,
    "Scan": ScanView,
    "Range": RangeView,
    "Proposal": ProposalView,
    "Change": ChangeView,
    "StoreReport": StoreReport,
}
_EXTRA = {
    "Site": {"state": "string", "alerts": "integer"},
    "Device": {"state": "string", "alerts": "integer", "checked_at": "integer"},
}
_ERROR = {
    "description": "a problem document (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(app: Flask) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda r: r.rule):
        declaration = declaration_of(app, rule.endpoint)
        if declaration is None or not rule.rule.startswith("/api/v1/"):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(app, rule, declaration)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zhishou",
            "version": "1",
            "description": "Times are milliseconds since the Unix epoch, ratios 0..1, sizes bytes.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "zs_session"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(app: Flask, rule: Rule, declaration: Declaration) -> dict[str, Any]:
    access = access_of(app, rule.endpoint)
    numbers = set(re.findall(r"<int:(\w+)>", rule.rule))
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in numbers else "string"},
        }
        for name in sorted(rule.arguments)
    ]
    parameters += [{"name": n, "in": "query", "schema": {"type": t}} for n, t in declaration.query.items()]
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{declaration.answer}"}
    if declaration.paged:
        parameters += [
            {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}},
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
        ]
        schema = {
            "type": "object",
            "required": ["items", "total", "next"],
            "properties": {
                "items": {"type": "array", "items": schema},
                "total": {"type": "integer"},
                "next": {"type": ["integer", "null"]},
            },
        }
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.partition(".")[2],
        "summary": declaration.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "ok", "content": {"application/json": {"schema": schema}}},
            **dict.fromkeys(("400", "401", "403", "404"), _ERROR),
        },
    }
    if access not in {None, PUBLIC}:
        operation["x-permission"] = str(access)
    if declaration.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _body(declaration)}}}
    return operation


def _body(declaration: Declaration) -> dict[str, Any]:
    required = [name.removesuffix("!") for name in declaration.body if name.endswith("!")]
    properties = {name.removesuffix("!"): {"type": kind} for name, kind in declaration.body.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        "Problem": {
            "type": "object",
            "required": ["title", "status"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            },
        },
        "Caller": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "display": {"type": "string"},
                "role": {"type": "string"},
                "permissions": {"type": "array", "items": {"type": "string"}},
                "sites": {"type": ["array", "null"], "items": {"type": "string"}},
            },
        },
        "Topology": {
            "type": "object",
            "properties": {
                name: {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}
                for name, schema in (("nodes", "MapNode"), ("links", "MapLink"), ("conflicts", "MapConflict"))
            },
        },
        "Done": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "Scans": _numbers("scans"),
        "Numbers": _numbers("ids"),
        "Devices": {
            "type": "object",
            "properties": {"devices": {"type": "array", "items": {"type": "string"}}},
        },
        "Condition": {
            "type": "object",
            "properties": {
                "notices": {"type": "array", "items": {"$ref": "#/components/schemas/Notice"}},
                "report": {"anyOf": [{"$ref": "#/components/schemas/StoreReport"}, {"type": "null"}]},
            },
        },
    }
    for name, kind in _SCHEMAS.items():
        properties = {item.name: _property(str(item.type)) for item in fields(kind)}
        properties |= {key: {"type": value} for key, value in _EXTRA.get(name, {}).items()}
        schemas[name] = {"type": "object", "properties": properties}
    return schemas


def _numbers(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": {"type": "integer"}}}}


def _property(annotation: str) -> dict[str, Any]:
    """A JSON schema of a field's annotation, as precise as the annotation's text says."""
    nullable = annotation.endswith("| None")
    plain = annotation.removesuffix("| None").strip()
    kinds = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
    if plain.startswith(("tuple", "list", "Sequence", "frozenset")):
        kind = "array"
    elif plain.startswith(("Mapping", "dict", "SnmpAccess", "SshAccess", "End")):
        kind = "object"
    else:
        kind = kinds.get(plain, "string")
    return {"type": [kind, "null"] if nullable else kind}

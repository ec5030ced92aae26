"""The inventory file into model values. Every error of the file is reported, not only the first.

    city: 云溪市
    regions: [{id: xidong, name: 溪东区}]
    credentials: {snmp-ro: {kind: snmp-v2c, community: {env: SNMP_COMMUNITY}}}
    sites:
      - {id: H001, name: 市第一人民医院, region: xidong, grade: tertiary, protection_level: 3, collector: core,
         devices: [{id: H001-SW-1, name: 核心交换机, kind: network, address: 192.0.2.1, snmp: {credential: snmp-ro}}],
         services: [{id: H001-HIS, name: HIS, tree: {children: [{need: leaf, device: H001-SW-1}]}}]}
A credential value is a text, `{env: NAME}` or `{file: PATH}`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from monitor.credentials import FIELDS
from monitor.document import Placed, Plain, read_document
from monitor.documents import from_document
from monitor.errors import InputError
from monitor.model import Device, Inventory, Region, Service, ServiceNode, Site

T = TypeVar("T", Region, Site, Device, Service)
NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
PROBE_KINDS = frozenset({"icmp", "tcp", "http", "tls"})


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """A checked file: the inventory and the credentials' clear fields (kind, fields), never printed."""

    inventory: Inventory
    credentials: Mapping[str, tuple[str, Mapping[str, str]]] = field(repr=False)


class InventoryFileError(InputError):
    """All errors of a file; `errors` is one line each, with file:line."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def load_inventory(path: Path, known_credentials: frozenset[str] = frozenset()) -> InventoryFile:
    """Read and check a file. `known_credentials` are already registered. Raises InventoryFileError."""
    return check_inventory(read_document(path), known_credentials)


def check_inventory(document: Placed, known_credentials: frozenset[str] = frozenset()) -> InventoryFile:
    """Check a parsed document as a whole."""
    reader = _Reader(document)
    reader.read()
    reader.check_references(known_credentials)
    if reader.errors:
        raise InventoryFileError(reader.errors)
    inventory = Inventory(
        city=reader.city,
        regions={r.id: r for r in reader.regions.values()},
        sites={s.id: s for s in reader.sites.values()},
        devices={d.id: d for d in reader.devices.values()},
        services={s.id: s for s in reader.services.values()},
    )
    return InventoryFile(inventory, reader.credentials)


class _Reader:
    def __init__(self, document: Placed) -> None:
        self.document = document
        self.errors: list[str] = []
        self.city = ""
        self.regions: dict[str, Region] = {}
        self.sites: dict[str, Site] = {}
        self.devices: dict[str, Device] = {}
        self.services: dict[str, Service] = {}
        self.credentials: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.paths: dict[tuple[str, str], str] = {}

    def say(self, path: str, message: str) -> None:
        self.errors.append(f"{self.document.where(path)}: {message}")

    def read(self) -> None:
        data = self.document.data
        if not isinstance(data, dict):
            self.say("", "expected a mapping with city, regions, credentials and sites")
            return
        for key in data.keys() - {"version", "city", "regions", "credentials", "sites"}:
            self.say(key, f"unknown key {key!r}; one of city, regions, credentials, sites")
        self.city = str(data.get("city") or "")
        self._read_credentials(data.get("credentials"))
        for path, body in self._items(data, "regions", ""):
            self._add(self.regions, Region, body, path)
        for path, body in self._items(data, "sites", ""):
            own = {k: v for k, v in body.items() if k not in {"devices", "services"}}
            self._add(self.sites, Site, own, path)
            site = body.get("id", "")
            for inner, device in self._items(body, "devices", path):
                self._add(self.devices, Device, {"site": site, **device}, inner)
            for inner, service in self._items(body, "services", path):
                self._add(self.services, Service, {"site": site, **service}, inner)

    def _items(
        self, body: Mapping[str, Plain], key: str, parent: str
    ) -> Iterator[tuple[str, dict[str, Plain]]]:
        path = f"{parent}.{key}" if parent else key
        items = body.get(key)
        if items is None:
            return
        if not isinstance(items, list):
            self.say(path, "expected a list")
            return
        for number, item in enumerate(items):
            inner = f"{path}[{number}]"
            if isinstance(item, dict):
                yield inner, item
            else:
                self.say(inner, "expected a mapping")

    def _add(self, into: dict[str, T], kind: type[T], body: Mapping[str, Plain], path: str) -> None:
        try:
            value = from_document(kind, body, path)
        except InputError as error:
            self.say(error.where, error.message + (f"; {error.hint}" if error.hint else ""))
            return
        key = str(value.id)
        if not IDENTIFIER.fullmatch(key):
            self.say(f"{path}.id", f"{key!r} is not an id: letters, digits, . _ : - , at most 64")
        if key in into:
            self.say(
                f"{path}.id",
                f"{key!r} is used twice; first at {self.document.where(self.paths[kind.__name__, key])}",
            )
            return
        into[key] = value
        self.paths[kind.__name__, key] = path

    def _read_credentials(self, section: Plain) -> None:
        if section is None:
            return
        if not isinstance(section, dict):
            self.say("credentials", "expected a mapping of name to credential")
            return
        for name, body in section.items():
            path = f"credentials.{name}"
            if not isinstance(body, dict) or body.get("kind") not in FIELDS:
                self.say(path, "expected kind: one of " + ", ".join(FIELDS))
                continue
            kind = str(body["kind"])
            values = {}
            for key, value in body.items():
                if key == "kind":
                    continue
                if key not in FIELDS[kind]:
                    self.say(
                        f"{path}.{key}",
                        f"{kind} has no field {key!r}; one of {', '.join(sorted(FIELDS[kind]))}",
                    )
                    continue
                values[key] = self._secret(value, f"{path}.{key}")
            self.credentials[name] = (kind, values)

    def _secret(self, value: Plain, path: str) -> str:
        if isinstance(value, dict) and len(value) == 1:
            source, name = next(iter(value.items()))
            if source == "env":
                if str(name) in os.environ:
                    return os.environ[str(name)]
                self.say(path, f"environment variable {name} is not set")
                return ""
            if source == "file":
                try:
                    return Path(str(name)).read_text("utf-8").rstrip("\n")
                except OSError as error:
                    self.say(path, f"{name}: {error.strerror}")
                    return ""
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
        self.say(path, "expected a text, {env: NAME} or {file: PATH}")
        return ""

    def check_references(self, known_credentials: frozenset[str]) -> None:
        credentials = known_credentials | self.credentials.keys()
        for region in self.regions.values():
            if region.parent is not None and region.parent not in self.regions:
                self.say(self.paths["Region", region.id] + ".parent", f"no region {region.parent!r}")
        for site in self.sites.values():
            path = self.paths["Site", site.id]
            if site.region not in self.regions:
                self.say(f"{path}.region", f"no region {site.region!r}")
            if site.protection_level not in {2, 3}:
                self.say(f"{path}.protection_level", "expected 2 or 3")
        for device in self.devices.values():
            self._check_device(device, self.paths["Device", device.id], credentials)
        for service in self.services.values():
            self._check_tree(service.tree, self.paths["Service", service.id] + ".tree", service.site)

    def _check_device(self, device: Device, path: str, credentials: frozenset[str]) -> None:
        if not _is_address(device.address):
            self.say(f"{path}.address", f"{device.address!r} is neither an IP address nor a host name")
        for name in device.depends_on:
            if name not in self.devices or name == device.id:
                self.say(f"{path}.depends_on", f"no other device {name!r}")
        for key, access in (("snmp", device.snmp), ("ssh", device.ssh)):
            if access is None:
                continue
            if access.credential not in credentials:
                self.say(f"{path}.{key}.credential", f"no credential {access.credential!r}")
            if not 1 <= access.port <= 65535:
                self.say(f"{path}.{key}.port", "expected 1..65535")
            if access.interval < 1 or access.timeout <= 0:
                self.say(f"{path}.{key}", "interval must be at least 1 second and timeout above 0")
        for number, probe in enumerate(device.probes):
            if probe.kind not in PROBE_KINDS:
                self.say(f"{path}.probes[{number}].kind", "expected one of " + ", ".join(sorted(PROBE_KINDS)))

    def _check_tree(self, node: ServiceNode, path: str, site: str) -> None:
        if node.need == "leaf":
            device = self.devices.get(node.device or "")
            if device is None:
                self.say(f"{path}.device", f"no device {node.device!r}")
            elif node.probe and node.probe not in {probe.name for probe in device.probes}:
                self.say(f"{path}.probe", f"device {device.id} has no probe {node.probe!r}")
        elif node.need not in {"all", "any"}:
            self.say(f"{path}.need", "expected all, any or leaf")
        elif not node.children:
            self.say(path, "a node that is no leaf needs children")
        for number, child in enumerate(node.children):
            self._check_tree(child, f"{path}.children[{number}]", site)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(NAME.fullmatch(text)) and not text.replace(".", "").isdigit()
    return True

"""`/snmp?target=&module=` in the core: a device read now and told as snmp_exporter would, for Prometheus and others.

The target is a device of the inventory, by id or by address: nothing else is ever asked. The device's own
credential is used unless `auth` names an auth of a module file. What is wrong is told as snmp_exporter tells it.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import structlog
from flask import Blueprint, Response, request
from prometheus_client import Counter

from monitor.credentials import Credentials
from monitor.devices import SnmpScrape, snmp_exposition
from monitor.errors import DeniedError, InputError, UnreachableError, ZhishouError
from monitor.model import Device, DeviceId, Inventory, SnmpAccess
from monitor.service import Runtime

log = structlog.get_logger(__name__)

PLACES: Final = 16  # scrapes at a time; the core has threads for more than that besides
_WAIT_SECONDS: Final = 5.0
_BUDGET_SECONDS: Final = (
    38.0  # and half of it again for the last attempt: below what the web process waits for us
)
_SNMP_PORT: Final = 161
_DEFAULT_MODULE: Final = "if_mib"
_MAX_MODULES: Final = 16
_UNSUPPORTED: Final = ("snmp_context", "snmp_engineid")  # refused: another context would be another device
_PREAMBLE: Final = (
    "An error has occurred while serving metrics:\n\n"
    'error collecting metric Desc{fqName: "snmp_error", help: "Error scraping target", constLabels: {}, '
    "variableLabels: []}: "
)


class ExpositionService:
    """The exposition service. `places` scrapes run at a time."""

    name = "exposition"

    def __init__(self, runtime: Runtime, *, places: int = PLACES) -> None:
        self._runtime = runtime
        self._credentials = Credentials(runtime.database, runtime.vault)
        self._places = threading.BoundedSemaphore(places)
        self._seam = partial(snmp_exposition, runtime.settings.profiles)
        self._scrapes = Counter(
            "zhishou_snmp_scrapes_total",
            "Requests to /snmp by result",
            ["result"],
            registry=runtime.registry,
        )

    def blueprints(self) -> Sequence[Blueprint]:
        """The endpoint."""
        blueprint = Blueprint("exposition", __name__)
        blueprint.add_url_rule("/snmp", view_func=self.snmp, methods=["GET"])
        return [blueprint]

    def start(self) -> None:
        """Nothing runs on its own."""

    def stop(self) -> None:
        """Nothing runs on its own."""

    def snmp(self) -> Response:
        """One scrape of one device."""
        result, response = self._answer()
        self._scrapes.labels(result).inc()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _answer(self) -> tuple[str, Response]:
        try:
            scrape, seam = self._asked(), self._seam()
        except DeniedError as error:
            return "denied", _plain(error.message, 403)
        except InputError as error:
            return "invalid", _plain(error.message, 400)
        if not self._places.acquire(timeout=_WAIT_SECONDS):
            return "busy", _plain("too many scrapes at a time; try again later", 503)
        try:
            return "ok", Response(seam.scrape(scrape), content_type=seam.content_type)
        except InputError as error:
            return "invalid", _plain(error.message, 400)
        except UnreachableError as error:
            return "failed", _plain(_PREAMBLE + error.message, 500)
        finally:
            self._places.release()

    def _asked(self) -> SnmpScrape:
        target, auth = _once("target"), _once("auth", needed=False)
        for name in _UNSUPPORTED:
            if request.args.get(name):
                raise InputError(f"'{name}' parameter is not supported")
        modules = _modules(request.args.getlist("module"))
        collectors = frozenset(filter(None, request.headers.get("X-Zhishou-Collector", "").split(",")))
        device = find_target(self._runtime.directory.inventory(), target, collectors)
        access = device.snmp or SnmpAccess(credential="")
        kind = ""
        fields: dict[str, str] = {}
        if not auth or auth == access.credential:
            auth = ""
            try:
                kind, fields = self._credentials.get(access.credential)
            except ZhishouError as error:
                log.error("no credential for a scrape", device=device.id, error=str(error))
                raise InputError(f"device '{device.id}' has no usable SNMP credential") from error
        return SnmpScrape(device.address, access.port, modules, kind, fields, auth, _budget())


def find_target(inventory: Inventory, target: str, collectors: frozenset[str]) -> Device:
    """The device an id or address[:port] means; `collectors` bounds whose devices when it is not empty.

    DeniedError when there is none: an unknown address and a device out of scope look the same. InputError when
    several devices share the address and the port does not tell them apart.
    """
    sites = {s.id for s in inventory.sites.values() if not collectors or s.collector in collectors}
    visible = [device for device in inventory.devices.values() if device.site in sites]
    by_id = inventory.devices.get(DeviceId(target))
    found = [by_id] if by_id is not None and by_id.site in sites else _at(visible, target)
    with_snmp = [device for device in found if device.snmp is not None]
    if not with_snmp:
        raise DeniedError(
            f"target '{target}' is not a device with SNMP that this token may read",
            zh=f"目标 {target} 不是该令牌可读取的、已配置 SNMP 的设备",
        )
    if len(with_snmp) > 1:
        raise InputError(
            f"target '{target}' is {len(with_snmp)} devices; use the id of one or its address:port",
            zh=f"目标 {target} 对应 {len(with_snmp)} 台设备，请改用设备编号或 地址:端口",
        )
    return with_snmp[0]


def _at(devices: Iterable[Device], target: str) -> list[Device]:
    host, port = _split(target)
    wanted = _address(host)
    found = [device for device in devices if _address(device.address) == wanted and device.snmp is not None]
    exact = [
        device for device in found if device.snmp is not None and device.snmp.port == (port or _SNMP_PORT)
    ]
    return exact if exact or port else found


def _split(target: str) -> tuple[str, int]:
    """Host and port (0: none given, -1: none that exists); a leading `udp://` is accepted, as snmp_exporter does."""
    target = target.removeprefix("udp://")
    host, port = target, ""
    if target.startswith("["):
        host, _, rest = target[1:].partition("]")
        port = rest.removeprefix(":")
    elif target.count(":") == 1:
        host, _, port = target.partition(":")
    if not port:
        return host, 0
    return host, int(port) if port.isascii() and port.isdigit() else -1


def _address(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def _once(name: str, *, needed: bool = True) -> str:
    values = request.args.getlist(name)
    if len(values) > 1 or (needed and not (values and values[0])):
        only = "" if needed else "only "
        raise InputError(f"'{name}' parameter must {only}be specified once")
    return values[0] if values else ""


def _modules(values: Sequence[str]) -> tuple[str, ...]:
    names = dict.fromkeys(name for value in values or [_DEFAULT_MODULE] for name in value.split(",") if name)
    if not names:
        raise InputError("'module' parameter must contain at least one module name")
    if len(names) > _MAX_MODULES:
        raise InputError(f"'module' parameter names more than {_MAX_MODULES} modules")
    return tuple(names)


def _budget() -> float:
    """Seconds this scrape may take: a little less than the scraper waits, when it says how long that is."""
    try:
        wanted = float(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
    except ValueError:
        return _BUDGET_SECONDS
    return min(max(wanted - 0.5, 0.5), _BUDGET_SECONDS) if wanted > 0 else _BUDGET_SECONDS


def _plain(text: str, status: int) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")


def build(runtime: Runtime) -> ExpositionService:
    """The entry point of `zhishou.services`."""
    return ExpositionService(runtime)

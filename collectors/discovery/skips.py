"""Which addresses a scan must leave alone: those of devices that nobody may probe."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from monitor.model import Device

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Skip:
    """An address that is passed over, and the device and reason why."""

    address: str
    device: str
    reason: str


def forbidden(devices: Iterable[Device]) -> list[Skip]:
    """The addresses of every device marked do_not_probe; names are resolved here."""
    found = []
    for device in devices:
        if device.do_not_probe:
            found += [Skip(text, str(device.id), device.do_not_probe) for text in _addresses(device.address)]
    return found


def _addresses(text: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(text))]
    except ValueError:
        pass
    try:
        answers = socket.getaddrinfo(text, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        log.warning("a device that must not be probed has no address", name=text, reason=str(error))
        return []
    return sorted({str(target[0]).partition("%")[0] for *_, target in answers})

"""The Poller for probes: the device it is handed carries the one probe to make; module `probe:<name>`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace

from collectors.interface import Credential, PollResult, Reading
from collectors.probes.http import look_http
from collectors.probes.icmp import look_icmp
from collectors.probes.look import Look, ProbeFailedError
from collectors.probes.tcp import look_tcp
from collectors.probes.tls import look_tls
from monitor.clock import Clock
from monitor.errors import InputError
from monitor.model import Device, Probe


class ProbePoller:
    """Makes probes. `ca_file` adds certificate authorities to the system's."""

    def __init__(self, clock: Clock, *, ca_file: str = "") -> None:
        self._clock = clock
        self._trust = ssl.create_default_context()
        if ca_file:
            try:
                self._trust.load_verify_locations(ca_file)
            except OSError as error:
                raise InputError(f"cannot read certificate authorities: {error}", where=ca_file) from error
        self._looks: Mapping[str, Callable[[Probe, str, Look], None]] = {
            "icmp": look_icmp,
            "tcp": look_tcp,
            "http": lambda probe, host, look: look_http(probe, host, look, clock, self._trust),
            "tls": lambda probe, host, look: look_tls(probe, host, look, clock, self._trust),
        }

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        """Make the device's first probe; never raises for anything the network does."""
        if not device.probes:
            raise InputError("the device has no probe", where=device.id)
        return self.probe(device.probes[0], device.address)

    def probe(self, probe: Probe, address: str) -> PollResult:
        """Make one probe of a host; `probe.target` overrides the address."""
        started, at_ms = self._clock.monotonic(), self._clock.now_ms()
        look = Look()
        run = self._looks.get(probe.kind)
        if run is None:
            look.fail(
                "unsupported", f"unknown kind of probe {probe.kind!r}", f"不支持的拨测类型 {probe.kind}"
            )
        else:
            try:
                run(probe, probe.target or address, look)
            except ProbeFailedError as stopped:
                look.success = False
                look.errors.append(stopped.error)
        spent = self._clock.monotonic() - started
        look.value("probe_success", float(look.success))
        look.value("probe_duration_seconds", spent)
        return PollResult(
            f"probe:{probe.name}",
            up=look.success,
            at_ms=at_ms,
            duration_seconds=spent,
            readings=_named(look.readings, probe.name),
            errors=look.errors,
            detail=look.detail,
        )


def _named(readings: list[Reading], probe: str) -> list[Reading]:
    return [
        replace(reading, labels=tuple(sorted((*reading.labels, ("probe", probe))))) for reading in readings
    ]

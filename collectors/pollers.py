"""Which poller serves which kind of module. To add a protocol: a line in FACTORIES and a factory `(Clock) -> Poller`.

Modules are imported only here and only when a collector starts, so that the rest of the program does not load them.
SNMP is not here: its fleet runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from collectors.enrich import PROBE, SSH, TOPOLOGY
from collectors.interface import Poller
from monitor.clock import Clock


def _ssh(clock: Clock) -> Poller:
    poller: Poller = import_module("collectors.ssh.poller").SshPoller(clock)
    return poller


def _probe(clock: Clock, ca_file: str = "") -> Poller:
    poller: Poller = import_module("collectors.probes.poller").ProbePoller(clock, ca_file=ca_file)
    return poller


def _topology(clock: Clock) -> Poller:
    poller: Poller = import_module("collectors.topology.poller").TopologyPoller(clock)
    return poller


FACTORIES: Mapping[str, Callable[[Clock], Poller]] = {
    SSH: _ssh,
    PROBE: _probe,
    TOPOLOGY: _topology,
}


def build_pollers(clock: Clock, *, ca_file: str = "") -> dict[str, Poller]:
    """A poller for every kind of module; `ca_file` adds certificate authorities for the probes."""
    wanted: dict[str, Callable[[Clock], Poller]] = {**FACTORIES, PROBE: partial(_probe, ca_file=ca_file)}
    return {kind: factory(clock) for kind, factory in wanted.items()}

"""Which poller serves which kind of module. To add a protocol: a line in FACTORIES and a factory `(Clock) -> Poller`.

Modules are imported only here and only when a collector starts, so that the rest of the program does not load them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import structlog

from collectors.enrich import PROBE, SNMP, SSH, TOPOLOGY
from collectors.interface import Poller
from monitor.clock import Clock

log = structlog.get_logger(__name__)


def _snmp(clock: Clock, profiles: str = "") -> Poller:
    library = import_module("collectors.profiles.library").load_library(Path(profiles) if profiles else None)
    for problem in library.problems:
        log.error("a file of the profiles folder is left out", reason=str(problem))
    poller: Poller = import_module("collectors.snmp.poller").SnmpPoller(clock, library.profiles)
    return poller


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
    SNMP: _snmp,
    SSH: _ssh,
    PROBE: _probe,
    TOPOLOGY: _topology,
}


def build_pollers(
    clock: Clock, *, ca_file: str = "", profiles: str = "", leave_out: Collection[str] = ()
) -> dict[str, Poller]:
    """A poller for every kind of module but those left out; `ca_file` adds certificate authorities for the probes,
    `profiles` is the folder of the operator's own device profiles.
    """
    wanted: dict[str, Callable[[Clock], Poller]] = {
        **FACTORIES,
        SNMP: partial(_snmp, profiles=profiles),
        PROBE: partial(_probe, ca_file=ca_file),
    }
    return {kind: factory(clock) for kind, factory in wanted.items() if kind not in leave_out}

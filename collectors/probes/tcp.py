"""Can a TCP connection be opened?"""

from __future__ import annotations

from collectors.probes.look import Look, dial, resolve
from monitor.model import Probe


def look_tcp(probe: Probe, host: str, look: Look) -> None:
    """Connect and close again."""
    address = resolve(host, probe.port, look)
    with dial(address, probe.timeout):
        look.success = True

"""A storm of v2c traps from another process, and what one CPU second of the receiver takes of it.

    python -m tests.collectors.receivers.flood PORT COUNT RATE DIFFERENT

sends COUNT traps at RATE a second (0: as fast as it goes), every one of DIFFERENT interfaces in turn, and prints how
many the kernel took. `traps_per_cpu_second` is the bench.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.collectors.receivers.station import Station, link_trap

_BURST = 50


def flood(port: int, count: int, rate: int, different: int) -> int:
    """Send; returns how many were sent."""
    datagrams = [link_trap(number, 1 + number % different) for number in range(max(different, 1000))]
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        started = time.perf_counter()
        while sent < count:
            for _ in range(min(_BURST, count - sent)):
                sent += bool(sender.send(datagrams[sent % len(datagrams)]))
            ahead = sent / rate - (time.perf_counter() - started) if rate else 0.0
            if ahead > 0:
                time.sleep(ahead)
    return sent


def start_flood(port: int, count: int, rate: int, different: int) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.collectors.receivers.flood",
        *map(str, (port, count, rate, different)),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a receiver made of a flood, from its socket to the events it told."""

    sent: int
    received: int
    kernel_drops: int
    queue_drops: int
    events: int
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """Traps received, decoded and settled for each CPU second of the whole process."""
        return self.received / self.cpu_seconds


def traps_per_cpu_second(count: int = 300_000, rate: int = 0, different: int = 1) -> Taken:
    """Measure. `different` 1: one trap again and again; 100_000: hardly two alike."""
    with tempfile.TemporaryDirectory() as folder, Station(Path(folder)) as station:
        child = start_flood(station.port, count, rate, different)
        station.wait(lambda: station.count("zhishou_traps_received") > 0, 30)
        began = time.process_time()
        out, _ = child.communicate(timeout=600)
        sent = int(out)

        def seen() -> int:
            return station.count("zhishou_traps_received") + station.count("zhishou_traps_dropped", "kernel")

        station.wait(lambda: seen() == sent and station.settled(), 60)
        spent = time.process_time() - began
        return Taken(
            sent,
            station.count("zhishou_traps_received"),
            station.count("zhishou_traps_dropped", "kernel"),
            station.count("zhishou_traps_dropped", "queue"),
            len(station.host.events),
            spent,
        )


if __name__ == "__main__":
    print(flood(*map(int, sys.argv[1:5])))

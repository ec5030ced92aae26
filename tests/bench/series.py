"""What the metric bench stores: 100 devices of 52 series, a sample a minute for two hours; the same at every run.

Rates of ports follow a log-normal distribution, a third of the ports is idle most of the time, a quarter is down, few
have errors: the mix of a city's switches, on which the goals were set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.metrics.interface import Floats, Labels, SampleBlock, make_labels

DEVICES, PORTS = 100, 12
SLOTS, MINUTE = 120, 60_000
OF_PORTS = ("ifHCInOctets", "ifHCOutOctets", "ifOperStatus", "ifInErrors")
OF_DEVICES = ("up", "device_cpu_ratio", "device_memory_used_bytes", "device_memory_size_bytes")
MEMORY, PAGE = 2.0**33, 4096


def series() -> list[Labels]:
    """Device by device: every metric of the ports, then those of the device."""
    found: list[Labels] = []
    for number in range(DEVICES):
        site = f"H{number % 10:03d}"
        base = {
            "region": f"county-{number % 5}", "site": site, "device": f"{site}-SW-{number}", "kind": "network",
            "vendor": "Huawei", "instance": f"10.0.0.{number}", "job": "snmp",
        }  # fmt: skip
        for name in OF_PORTS:
            for port in range(1, PORTS + 1):
                found.append(
                    make_labels({**base, "ifIndex": str(port), "ifName": f"GigabitEthernet0/0/{port}"}, name)
                )
        found += [make_labels(base, name) for name in OF_DEVICES]
    return found


def blocks(labels: list[Labels], end_ms: int) -> Iterator[SampleBlock]:
    """One block a minute, oldest first, all before `end_ms`."""
    codes = np.arange(len(labels), dtype=np.int32)
    for slot, values in enumerate(_values()):
        at = end_ms - (SLOTS - slot) * MINUTE
        yield SampleBlock(labels, codes, np.full(len(labels), at, np.int64), values)


def _values() -> Floats:
    """[slots, series] in the order of `series`."""
    random = np.random.default_rng(7)
    ports = (SLOTS, DEVICES, PORTS)
    parts = [_octets(random, ports), _octets(random, ports)]
    down = random.random(ports[1:]) < 0.25
    flaps = random.random(ports) < 0.0002
    parts.append(np.where(down ^ flaps, 2.0, 1.0))
    chance = np.where(random.random(ports[1:]) < 0.05, 0.2, 0.0005)
    parts.append(np.cumsum((random.random(ports) < chance) * random.integers(1, 20, ports), 0).astype(float))
    walk = np.cumsum(random.normal(0, 2, (SLOTS, DEVICES)), 0)
    cpu = np.clip(np.round(30 + 20 * np.sin(walk / 15) + random.normal(0, 3, walk.shape)), 0, 100) / 100
    used = np.round(MEMORY * (0.5 + 0.002 * walk) / PAGE) * PAGE
    parts += [
        one[:, :, None] for one in (random.random(walk.shape) > 0.001, cpu, used, np.full(walk.shape, MEMORY))
    ]
    return np.concatenate(parts, axis=2, dtype=np.float64).reshape(SLOTS, -1)


def _octets(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    rate = random.lognormal(10, 2.5, shape[1:])
    added = rate * 60 * random.lognormal(0, 0.35, shape)
    idle = random.random(shape[1:]) < 0.3
    added = added * np.where(idle, random.random(shape) < 0.1, 1.0)
    return np.floor(np.cumsum(added, 0) + random.integers(0, 1 << 40, shape[1:]))

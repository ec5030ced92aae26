"""What the metric bench stores: devices of 51 series each, as a city's switches fill them; the same at every run.

Rates of ports follow a log-normal distribution over a day's tide, a third of the ports is idle most of the time, a
fifth is down, few have errors, a hundredth of the devices reboots. `plain` is sampled once a minute without a gap;
`uneven` has four intervals, polls that are late or early, and holes. Every time stamp is a multiple of 10 ms and ends
in 0: a query at a time that ends in 5 is off the grid for ever, where closed and half-open ranges are the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monitor.metrics.interface import Bools, Codes, Floats, Ints, Labels, SampleBlock, make_labels
from monitor.metrics.piece import Columns

PORTS = 12
OF_PORTS = ("ifHCInOctets", "ifHCOutOctets", "ifOperStatus", "ifInErrors")
OF_DEVICES = ("up", "device_cpu_ratio", "device_info")
WIDTH = PORTS * len(OF_PORTS) + len(OF_DEVICES)
COUNTERS = [at for at in range(PORTS * len(OF_PORTS)) if at // PORTS != 2]
DOWN = 5000 / 24_000  # of the ports: the alerts of the storm
MINUTE, HOUR = 60_000, 3_600_000
VENDORS = ("Huawei", "H3C", "Cisco", "Ruijie")
ROLES = ("access", "core", "storage", "server", "firewall")
INTERVALS = (
    (15_000, 0.05),
    (30_000, 0.15),
    (60_000, 0.7),
    (300_000, 0.1),
)  # of `uneven`: ms, share of the devices
MISSED_POLL, MISSED_VALUE, JITTER_MS = 0.01, 0.01, 50


@dataclass(frozen=True, slots=True)
class Size:
    """How much data: `BENCH_DEVICES` and `BENCH_HOURS` choose it."""

    devices: int = 2000
    hours: int = 3

    @classmethod
    def chosen(cls) -> Size:
        """As the environment says. Raises ValueError for what is not a number."""
        given = {"devices": os.environ.get("BENCH_DEVICES"), "hours": os.environ.get("BENCH_HOURS")}
        return cls(**{name: int(text) for name, text in given.items() if text})

    @property
    def series(self) -> int:
        """How many series there are."""
        return self.devices * WIDTH

    def __str__(self) -> str:
        return f"{self.devices:,} devices x {WIDTH} series"


@dataclass(frozen=True, slots=True)
class Part:
    """Devices of one interval: times [devices, k], values and `present` [devices x WIDTH, k], None when all are."""

    devices: Ints
    interval_ms: int
    times: Ints
    values: Floats
    present: Bools | None = None

    def columns(self, first: int, last: int, begin: int, end: int) -> Columns:
        """The samples of devices `first` to `last` in slots `begin` to `end`, all by position."""
        values = self.values[first * WIDTH : last * WIDTH, begin:end]
        times = np.repeat(self.times[first:last, begin:end], WIDTH, axis=0)
        codes = (self.devices[first:last, None] * WIDTH + np.arange(WIDTH)).ravel()
        series = np.repeat(codes.astype(np.int32), values.shape[1])
        if self.present is None:
            return Columns(series, times.ravel(), values.ravel())
        kept = self.present[first * WIDTH : last * WIDTH, begin:end].ravel()
        return Columns(series[kept], times.ravel()[kept], values.ravel()[kept])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Series, device by device, and their samples from `start_ms` to before `end_ms`."""

    labels: list[Labels]
    parts: list[Part]
    start_ms: int
    end_ms: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(
            part.values.size if part.present is None else int(part.present.sum()) for part in self.parts
        )

    def columns(self, start_ms: int, end_ms: int, step_ms: int, devices: int) -> Iterator[Columns]:
        """The samples of whole slots in [start, end), in steps of time, at most `devices` devices at once."""
        for at in range(start_ms, end_ms, step_ms):
            until = min(at + step_ms, end_ms)
            for part in self.parts:
                begin, end = (-(-(t - self.start_ms) // part.interval_ms) for t in (at, until))
                if end <= begin:
                    continue
                for first in range(0, len(part.devices), devices):
                    found = part.columns(first, min(first + devices, len(part.devices)), begin, end)
                    if len(found.series):
                        yield found

    def block(self, columns: Columns) -> SampleBlock:
        """Samples with the label sets of all series."""
        return SampleBlock(self.labels, columns.series, columns.timestamps, columns.values)


def plain(devices: int, start_ms: int, end_ms: int) -> Dataset:
    """A sample of each series a minute, each device at its own second."""
    numbers = np.arange(devices)
    part = _part(np.random.default_rng(7), numbers, MINUTE, start_ms, end_ms)
    return Dataset(labels(devices), [part], start_ms, end_ms)


def uneven(devices: int, start_ms: int, end_ms: int) -> Dataset:
    """Mixed intervals, jitter of 50 ms to both sides, 1 % of the polls and 1 % of the values missing."""
    random = np.random.default_rng(8)
    order = random.permutation(devices)
    bounds = np.cumsum([round(share * devices) for _, share in INTERVALS])[:-1]
    parts = []
    for (interval, _), chosen in zip(INTERVALS, np.split(order, bounds), strict=True):
        if not len(chosen):
            continue
        part = _part(random, np.sort(chosen), interval, start_ms, end_ms)
        jitter = random.integers(-JITTER_MS // 10, JITTER_MS // 10 + 1, part.times.shape) * 10
        present = random.random(part.values.shape) >= MISSED_VALUE
        present &= np.repeat(random.random(part.times.shape) >= MISSED_POLL, WIDTH, axis=0)
        parts.append(Part(part.devices, interval, part.times + jitter, part.values, present))
    return Dataset(labels(devices), parts, start_ms, end_ms)


def labels(devices: int) -> list[Labels]:
    """Device by device: every metric of the ports, then those of the device."""
    found: list[Labels] = []
    ports = [{"ifIndex": str(port), "ifName": f"GigabitEthernet0/0/{port}"} for port in range(1, PORTS + 1)]
    for number in range(devices):
        site = f"H{number % 300:03d}"
        vendor = VENDORS[number % len(VENDORS)]
        base = {
            "region": f"county-{number % 300 % 17:02d}", "site": site, "device": f"{site}-SW-{number}",
            "kind": "network", "vendor": vendor, "instance": f"10.{number >> 8}.{number & 255}.1", "job": "snmp",
        }  # fmt: skip
        found += [make_labels(base | port, name) for name in OF_PORTS for port in ports]
        found += [make_labels(base, name) for name in OF_DEVICES[:2]]
        model = {"model": f"{vendor}-S57{number % 40:02d}", "role": ROLES[number % len(ROLES)]}
        found.append(make_labels(base | model, OF_DEVICES[2]))
    return found


def _part(random: np.random.Generator, devices: Ints, interval: int, start_ms: int, end_ms: int) -> Part:
    slots = (end_ms - start_ms) // interval
    offset = devices * 7919 % interval // 10 * 10
    offset = np.clip(offset, 100, interval - 100)  # jitter must not carry a sample over an end of the data
    times = start_ms + offset[:, None] + np.arange(slots) * interval
    values = np.empty((len(devices), WIDTH, slots))
    at_minute = np.arange(slots) * interval / MINUTE
    tide = 1 + 0.6 * np.sin(2 * np.pi * (at_minute / 1440 - 0.3))
    for port in range(PORTS):
        for metric in (0, 1):
            values[:, metric * PORTS + port] = _octets(random, len(devices), tide * interval / 1000)
        down = random.permutation(len(devices)) < DOWN * len(devices)
        flaps = random.random((len(devices), slots)) < 0.0002
        values[:, 2 * PORTS + port] = np.where(down[:, None] ^ flaps, 2.0, 1.0)
        values[:, 3 * PORTS + port] = _errors(random, len(devices), slots)
    _reboot(random, values)
    walk = np.cumsum(random.normal(0, 2, (len(devices), slots)), 1)
    load = np.round(30 + 20 * np.sin(walk / 15) + random.normal(0, 3, walk.shape))
    values[:, -3] = random.random(walk.shape) > 0.001
    values[:, -2] = np.clip(load, 0, 100) / 100
    values[:, -1] = 1
    return Part(devices, interval, times, values.reshape(-1, slots))


def _octets(random: np.random.Generator, count: int, seconds: Floats) -> Floats:
    rate = random.lognormal(10, 2.5, count)[:, None]
    added = rate * seconds * random.lognormal(0, 0.35, (count, len(seconds)))
    idle = random.random(count) < 0.3
    added[idle] *= random.random((int(idle.sum()), len(seconds))) < 0.1
    return np.floor(np.cumsum(added, 1) + random.integers(0, 1 << 40, count)[:, None])


def _errors(random: np.random.Generator, count: int, slots: int) -> Floats:
    chance = np.where(random.random(count) < 0.05, 0.2, 0.0005)[:, None]
    found = np.cumsum((random.random((count, slots)) < chance) * random.integers(1, 20, (count, slots)), 1)
    return np.asarray(found, np.float64)


def _reboot(random: np.random.Generator, values: Floats) -> None:
    """The counters of a hundredth of the devices begin anew at some time."""
    slots = values.shape[2]
    for device in random.choice(len(values), max(1, len(values) // 100), replace=False).tolist():
        at = int(random.integers(slots // 10, slots))
        counters: Codes = np.array(COUNTERS, np.int32)
        values[device, counters, at:] -= values[device, counters, at][:, None]

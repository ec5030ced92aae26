"""A simulated UPS speaking UPS-MIB (RFC 1628)."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.demo.agents.interfaces import Port, interface_rows, system_rows
from deploy.demo.agents.tree import INT, STR, Row, oid, seed
from deploy.demo.city import DemoDevice
from deploy.demo.faults import Effect
from deploy.demo.signals import between

UPS = oid("1.3.6.1.2.1.33.1")
FULL_MINUTES = 46


def ups(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """On battery the input is dead, charge and runtime fall with the fault's progress."""
    key = seed(device.id)
    spent = faults.get(Effect.ON_BATTERY)
    on_battery = spent is not None
    left = 1.0 - 0.7 * (spent or 0.0)
    load = round(between(t, 34, 58, key))
    rows = system_rows(device.id, "UPS SNMP Card v3.2, 60 kVA", "1.3.6.1.2.1.33", device.location, t)
    rows += interface_rows(
        device.id, [Port(1, "eth0", "管理网", 100, 0.001), Port(2, "eth1", "", 100, 0.0)], t, {}
    )
    return [
        *rows,
        ((*UPS, 1, 1, 0), STR, device.vendor.encode() or b"UPS"),
        ((*UPS, 1, 2, 0), STR, device.hardware.encode()),
        ((*UPS, 1, 3, 0), STR, b"3.2.17"),
        ((*UPS, 1, 5, 0), STR, device.id.encode()),
        ((*UPS, 2, 1, 0), INT, 3 if on_battery and left < 0.4 else 2),
        ((*UPS, 2, 2, 0), INT, round((spent or 0.0) * 420) if on_battery else 0),
        ((*UPS, 2, 3, 0), INT, round(FULL_MINUTES * left)),
        ((*UPS, 2, 4, 0), INT, round(100 * left)),
        ((*UPS, 2, 5, 0), INT, 5420 if not on_battery else round(5100 - 400 * (spent or 0))),
        ((*UPS, 2, 7, 0), INT, round(between(t, 22, 26, key + 1)) + (3 if on_battery else 0)),
        ((*UPS, 3, 2, 0), INT, 1),
        ((*UPS, 3, 3, 1, 1, 1), INT, 1),
        ((*UPS, 3, 3, 1, 2, 1), INT, 0 if on_battery else 500),
        ((*UPS, 3, 3, 1, 3, 1), INT, 0 if on_battery else round(between(t, 226, 234, key + 2))),
        ((*UPS, 4, 1, 0), INT, 5 if on_battery else 3),
        ((*UPS, 4, 2, 0), INT, 500),
        ((*UPS, 4, 3, 0), INT, 1),
        ((*UPS, 4, 4, 1, 2, 1), INT, 220),
        ((*UPS, 4, 4, 1, 3, 1), INT, load * 5),
        ((*UPS, 4, 4, 1, 4, 1), INT, load * 600),
        ((*UPS, 4, 4, 1, 5, 1), INT, load),
        ((*UPS, 6, 1, 0), INT, 1 if on_battery else 0),
    ]

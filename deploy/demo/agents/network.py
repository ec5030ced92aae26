"""Simulated switches, routers and firewalls of two vendors, with their entity tables."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.demo.agents.interfaces import interface_rows, system_rows
from deploy.demo.agents.neighbours import neighbour_rows
from deploy.demo.agents.ports import ports_of
from deploy.demo.agents.tree import INT, STR, Row, oid, seed
from deploy.demo.city import DemoDevice
from deploy.demo.faults import Effect
from deploy.demo.signals import between

ENTITY = oid("1.3.6.1.2.1.47.1.1.1.1")
HUAWEI_STATE = oid("1.3.6.1.4.1.2011.5.25.31.1.1.1.1")
HUAWEI_FAN = oid("1.3.6.1.4.1.2011.5.25.31.1.1.10.1")
H3C_STATE = oid("1.3.6.1.4.1.25506.2.6.1.1.1.1")
BOARD = 67_108_867
FANS = (67_371_011, 67_371_012)
CHASSIS = 3

HUAWEI_DESCR = (
    "Huawei Versatile Routing Platform Software\r\nVRP (R) software, Version 8.191 ({hardware} V200R021C10SPC600)\r\n"
    "Copyright (C) 2012-2021 Huawei Technologies Co., Ltd."
)
H3C_DESCR = (
    "H3C Comware Platform Software, Software Version 7.1.070, Release 6318P01\r\nH3C {hardware}\r\n"
    "Copyright (c) 2004-2021 New H3C Technologies Co., Ltd. All rights reserved."
)


def huawei(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """A Huawei switch or router: board CPU, memory and temperature, two fans."""
    cpu, heat = _cpu(device, t, faults), 9 if Effect.FAN_FAILED in faults else 0
    temperature = round(between(t, 33, 39, seed(device.id) + 8)) + heat
    object_identity = "1.3.6.1.4.1.2011.2.23.459" if device.role == "core" else "1.3.6.1.4.1.2011.2.224.290"
    rows = system_rows(
        device.id, HUAWEI_DESCR.format(hardware=device.hardware), object_identity, device.location, t
    )
    rows += interface_rows(device.id, ports_of(device), t, faults)
    rows += neighbour_rows(device)
    rows += _entities(device, "V200R021C10SPC600")
    memory = round(between(t, 44, 52, seed(device.id) + 7))
    rows += [
        ((*HUAWEI_STATE, 5, BOARD), INT, cpu),
        ((*HUAWEI_STATE, 7, BOARD), INT, memory),
        ((*HUAWEI_STATE, 11, BOARD), INT, temperature),
    ]
    for number in (1, 2):
        failed = number == 2 and Effect.FAN_FAILED in faults
        rows += [
            ((*HUAWEI_FAN, 1, 1, number), INT, 1),
            ((*HUAWEI_FAN, 2, 1, number), INT, number),
            ((*HUAWEI_FAN, 5, 1, number), INT, 0 if failed else 46),
            ((*HUAWEI_FAN, 6, 1, number), INT, 1),
            ((*HUAWEI_FAN, 7, 1, number), INT, 2 if failed else 1),
        ]
    return rows


def h3c(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> list[Row]:
    """An H3C switch or firewall: board CPU, memory, temperature and error state."""
    object_identity = "1.3.6.1.4.1.25506.1.2204" if device.kind == "network" else "1.3.6.1.4.1.25506.1.1880"
    rows = system_rows(
        device.id, H3C_DESCR.format(hardware=device.hardware), object_identity, device.location, t
    )
    rows += interface_rows(device.id, ports_of(device), t, faults)
    rows += neighbour_rows(device)
    rows += _entities(device, "7.1.070 Release 6318P01")
    rows += [
        ((*H3C_STATE, 6, BOARD), INT, _cpu(device, t, faults)),
        ((*H3C_STATE, 8, BOARD), INT, round(between(t, 38, 47, seed(device.id) + 7))),
        ((*H3C_STATE, 12, BOARD), INT, round(between(t, 30, 37, seed(device.id) + 8))),
    ]
    for number, fan in enumerate(FANS, 1):
        failed = number == len(FANS) and Effect.FAN_FAILED in faults
        rows.append(((*H3C_STATE, 19, fan), INT, 41 if failed else 2))
    return rows


def _cpu(device: DemoDevice, t: float, faults: Mapping[Effect, float]) -> int:
    if Effect.HIGH_CPU in faults:
        return 96
    return round(between(t, 6, 34, seed(device.id) + 6))


def _entities(device: DemoDevice, software: str) -> list[Row]:
    serial = f"YX{seed(device.id):010d}"
    rows: list[Row] = []
    for index, kind, name in ((CHASSIS, 3, device.hardware), (BOARD, 9, "MPU Board 0"), (FANS[0], 7, "FAN 1"),
                              (FANS[1], 7, "FAN 2")):  # fmt: skip
        rows += [
            ((*ENTITY, 2, index), STR, name.encode()),
            ((*ENTITY, 5, index), INT, kind),
            ((*ENTITY, 7, index), STR, name.encode()),
            ((*ENTITY, 10, index), STR, software.encode() if index == CHASSIS else b""),
            ((*ENTITY, 11, index), STR, serial.encode() if index == CHASSIS else b""),
            ((*ENTITY, 13, index), STR, device.hardware.encode() if index == CHASSIS else b""),
        ]
    return rows

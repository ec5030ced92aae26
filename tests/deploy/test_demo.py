"""The simulated city: its size, its faults, and that its agents answer as agents do."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from collectors.snmp.ber import END_OF_MIB_VIEW, decode_oid, encode_oid
from collectors.snmp.message import GET_BULK, GET_NEXT, V2C, encode_request, parse_response
from deploy.demo.city import COMMUNITY, SITES, devices
from deploy.demo.faults import SCRIPT, Effect, Fault, active
from deploy.demo.inventory import build
from deploy.demo.responder import MODELS, Agent, Responder
from deploy.demo.signals import activity, counter
from monitor.documents import full_document

NOW = 1_795_262_400.0


def test_the_city_has_twenty_sites_and_three_hundred_devices() -> None:
    city = devices()
    assert len(SITES) == 20
    assert len(city) == 300
    assert len({d.address for d in city}) == len({d.id for d in city}) == 300
    assert {d.model for d in city} <= set(MODELS)


def test_the_inventory_passes_its_own_checks() -> None:
    inventory = build().inventory
    assert len(inventory.devices) == 300
    assert all(d.site in inventory.sites for d in inventory.devices.values())
    assert all(name in inventory.devices for d in inventory.devices.values() for name in d.depends_on)
    assert len(inventory.services) > 60
    assert full_document(next(iter(inventory.devices.values())))["snmp"]["port"] == 16100


def test_counters_never_fall_and_follow_activity() -> None:
    values = [counter(NOW + 7 * step, 1000, 3) for step in range(2000)]
    assert all(after >= before for before, after in pairwise(values))
    night, day = activity(NOW + 6 * 3600, 1), activity(NOW - 6 * 3600, 1)
    assert night < day


def test_faults_name_devices_of_the_city_and_come_within_a_minute() -> None:
    names = {d.id for d in devices()}
    assert all(fault.device in names for fault in SCRIPT)
    assert any(fault.start < 60 and fault.lasts < 120 for fault in SCRIPT)
    fault = Fault("X", Effect.SILENT, 10, 20, 100)
    assert [fault.progress(t) for t in (9, 10, 20, 30, 110)] == [None, 0.0, 0.5, None, 0.0]
    assert active("X", 20, (fault,)) == {Effect.SILENT: 0.5}


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_can_be_walked_to_its_end(model: str) -> None:
    device = next(d for d in devices() if d.model == model)
    agent = Agent(device)
    at, seen = encode_oid("1.3"), []
    for number in range(200):
        data = encode_request(V2C, COMMUNITY.encode(), GET_BULK, number, [at], 0, 20)
        reply = agent.answer(data, NOW, -1)
        assert reply is not None
        assert len(reply) <= 1472
        for name, tag, _ in parse_response(reply).varbinds:
            if tag == END_OF_MIB_VIEW:
                assert len(seen) > 40
                assert seen == sorted(set(seen))
                return
            seen.append(decode_oid(name))
            at = name
    pytest.fail("the walk does not end")


def test_every_fault_changes_what_its_device_answers() -> None:
    by_id = {d.id: d for d in devices()}
    for fault in SCRIPT:
        device = by_id[fault.device]
        if fault.effect is Effect.SILENT:
            data = encode_request(V2C, COMMUNITY.encode(), GET_NEXT, 1, [encode_oid("1.3")])
            assert Agent(device).answer(data, NOW, fault.start + 1) is None
            assert Agent(device).answer(data, NOW, fault.start - 1) is not None
        else:
            well = MODELS[device.model](device, NOW, {})
            ill = MODELS[device.model](device, NOW, {fault.effect: 0.5})
            assert well != ill
            assert [row[0] for row in well] == [row[0] for row in ill]


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x80", b"x" * 1000])
def test_noise_and_wrong_communities_get_no_answer(data: bytes) -> None:
    agent = Agent(devices()[0])
    assert agent.answer(data, NOW, 0) is None
    wrong = encode_request(V2C, b"public", GET_NEXT, 1, [encode_oid("1.3")])
    assert agent.answer(wrong, NOW, 0) is None


@pytest.fixture
def served() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    responder = Responder(devices()[:3], port)
    thread = threading.Thread(target=responder.run)
    thread.start()
    yield port
    responder.stop()
    thread.join()
    responder.close()


def test_each_device_answers_from_its_own_address(served: int) -> None:
    answered: Counter[str] = Counter()
    for device in devices()[:3]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            data = encode_request(V2C, COMMUNITY.encode(), GET_NEXT, 7, [encode_oid("1.3.6.1.2.1.1.4.0")])
            client.sendto(data, (device.address, served))
            reply, source = client.recvfrom(65_535)
            assert parse_response(reply).varbinds[0][2] == device.id.encode()
            answered[source[0]] += 1
    assert answered == {d.address: 1 for d in devices()[:3]}

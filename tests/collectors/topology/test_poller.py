"""The poller against written agents: what is read, what may be missing, and what ends early."""

from __future__ import annotations

import pytest

from collectors.interface import Credential, PollResult
from collectors.snmp import message
from collectors.snmp.ber import VarBind, encode_oid
from collectors.snmp.message import Message
from collectors.topology.poller import TopologyPoller
from monitor.clock import SystemClock
from monitor.model import Device, DeviceId, Kind, SiteId, SnmpAccess
from monitor.topology.facts import Facts, Neighbour, Port, StpPort, from_detail
from tests.collectors.snmp.agents import RecordedAgent, UdpAgent
from tests.collectors.topology import agent as rows

CREDENTIAL = Credential("snmp-v2c", community="public")


def poll(handler_rows: list[VarBind], *, credential: Credential = CREDENTIAL, **options: int) -> PollResult:
    recorded = RecordedAgent(handler_rows, bulk=credential.kind != "snmp-v1", **options)
    with UdpAgent(recorded.handle) as served:
        return TopologyPoller(SystemClock()).poll(device(served.port), credential)


def device(port: int, timeout: float = 0.5) -> Device:
    access = SnmpAccess("c", port=port, timeout=timeout, retries=0)
    return Device(DeviceId("S"), SiteId("H"), "S", Kind.NETWORK, "127.0.0.1", snmp=access)


def facts(result: PollResult) -> Facts:
    assert result.up
    assert result.errors == []
    assert result.readings == ()
    return from_detail(result.detail)


@pytest.mark.parametrize("kind", ["snmp-v2c", "snmp-v1"])
def test_everything_a_switch_says(kind: str) -> None:
    said = facts(poll(rows.everything(), credential=Credential(kind, community="public")))
    assert (said.name, said.chassis, said.macs) == ("SW-9.example", "mac:00e0fc000001", ("00e0fc000001",))
    assert said.addresses == ("10.0.0.9",)
    assert said.ports[0] == Port(101, "GE0/0/1", "上联", "00e0fc010065", 1)
    assert said.neighbours == (
        Neighbour(
            "lldp", 101, "GE0/0/1", "mac:00e0fc000002", "name:XGE1/0/1", "to SW-9", "CORE-1", "Versatile Platform",
            ("10.0.0.1",), ("bridge", "router"),
        ),
        Neighbour(
            "cdp", 102, "GE0/0/2", "name:ap-7.example", "name:GigabitEthernet0", "", "ap-7.example", "cisco AIR",
            ("10.0.0.7",), ("bridge",),
        ),
    )  # fmt: skip
    assert [(one.port, one.total, one.macs) for one in said.fdb] == [
        (101, 1, ("00e0fc000002",)),
        (103, 1, ("0050560000aa",)),
    ]
    assert said.arp == (("10.0.0.50", "0050560000aa", 101), ("fd00::32", "0050560000aa", 101))
    assert said.lags == ((102, 104), (103, 104))
    assert said.stp == (StpPort(101, 5, "00e0fc000002", 25), StpPort(102, 2, "", 0))
    assert said.incomplete == ()


def test_lldp_v2_is_asked_where_lldp_has_nothing() -> None:
    heard = facts(poll([*rows.interfaces(), *rows.lldp_v2()])).neighbours
    assert [(n.port, n.chassis, n.remote, n.name, n.addresses) for n in heard] == [
        (102, "mac:00e0fc000002", "mac:00e0fc000002", "CORE-1", ("10.0.0.1",))
    ]
    both = facts(poll([*rows.interfaces(), *rows.lldp(), *rows.lldp_v2()])).neighbours
    assert [n.port for n in both] == [101]


def test_without_vlans_the_plain_forwarding_table_is_read() -> None:
    plain = rows.number(f"{rows.BRIDGE}.4.3.1.2.{rows.dots(rows.HOST)}", 3)
    assert [(one.port, one.macs) for one in facts(poll([*rows.interfaces(), plain])).fdb] == [
        (103, ("0050560000aa",))
    ]


def test_a_neighbour_whose_port_went_down_is_remembered() -> None:
    poller = TopologyPoller(SystemClock())
    with UdpAgent(RecordedAgent(rows.everything()).handle) as served:
        assert [n.lost_ms for n in facts(poller.poll(device(served.port), CREDENTIAL)).neighbours] == [0, 0]
        cut = [row for row in rows.everything() if row not in rows.lldp() and row not in rows.cdp()]
        down = [rows.number(f"{rows.IF}.8.101", 2), rows.number(f"{rows.IF}.8.102", 1)]
        served.handler = RecordedAgent([*cut, *down]).handle
        lost = facts(poller.poll(device(served.port), CREDENTIAL))
        assert [(n.port, n.name, n.lost_ms) for n in lost.neighbours] == [(101, "CORE-1", lost.at_ms)]
        again = facts(poller.poll(device(served.port), CREDENTIAL))
        assert [n.lost_ms for n in again.neighbours] == [lost.at_ms]
        served.handler = RecordedAgent(rows.everything()).handle
        assert [n.lost_ms for n in facts(poller.poll(device(served.port), CREDENTIAL)).neighbours] == [0, 0]


def test_a_device_that_knows_nothing_of_neighbours_is_no_failure() -> None:
    said = facts(poll([rows.text("1.3.6.1.2.1.1.5.0", b"UPS")]))
    assert (said.name, said.neighbours, said.fdb, said.ports) == ("UPS", (), (), ())


def test_silence_and_a_missing_credential_say_what_to_do() -> None:
    with UdpAgent(lambda request: []) as served:
        silent = TopologyPoller(SystemClock()).poll(device(served.port, 0.05), CREDENTIAL)
    assert not silent.up
    assert [error.code for error in silent.errors] == ["timeout"]
    assert silent.detail == {}
    nobody = TopologyPoller(SystemClock()).poll(device(9), None)
    assert [error.code for error in nobody.errors] == ["no-credential"]


def test_an_agent_that_repeats_itself_gives_the_rest() -> None:
    """Its forwarding table goes round in circles; what was read before stays, and the map says what is missing."""
    recorded = RecordedAgent(rows.everything())
    fdb = encode_oid(f"{rows.BRIDGE}.7.1.2.2.1.2")

    def handle(request: Message) -> list[bytes]:
        if request.varbinds[0][0].startswith(fdb):
            row = (encode_oid(f"{rows.BRIDGE}.7.1.2.2.1.2.10.{rows.dots(rows.HOST)}"), 2, 3)
            return [message.encode_response(request, [row, row])]
        return recorded.handle(request)

    with UdpAgent(handle) as served:
        said = facts(TopologyPoller(SystemClock()).poll(device(served.port), CREDENTIAL))
    assert said.incomplete == ("fdb",)
    assert len(said.neighbours) == 2
    assert said.arp


def test_a_budget_that_runs_out_leaves_what_is_worth_most() -> None:
    recorded = RecordedAgent(rows.everything())
    with UdpAgent(recorded.handle) as served:
        result = TopologyPoller(SystemClock(), budget=0.0).poll(device(served.port), CREDENTIAL)
    assert not result.up or from_detail(result.detail).incomplete

"""A scan against agents on the loopback: what is found, what is tried where, and that nothing goes beyond its limits."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from collectors.discovery.planner import Kind, Step
from collectors.discovery.scan import Ending, Progress, Scan, Start, ladder
from collectors.interface import Credential
from collectors.profiles.profile import Profile
from collectors.snmp.message import V1, V2C, encode_response, parse_request
from monitor.clock import SystemClock
from monitor.discovery.interface import Find, ScanOrder
from monitor.discovery.same import grouped
from monitor.errors import InputError
from monitor.model import SiteId
from tests.collectors.discovery.street import House, Street, rows

RIGHT = Credential("snmp-v2c", community="right")
WRONG = Credential("snmp-v2c", community="wrong")
ANCIENT = Credential("snmp-v1", community="right")
ORDER = ScanOrder(
    1,
    SiteId("H001"),
    ("127.77.0.1-20",),
    ("wrong", "right", "ancient"),
    rate=1000.0,
    in_flight=32,
    timeout=0.15,
    retries=0,
)
BEGINNING = Start()
CREDENTIALS = {"wrong": WRONG, "right": RIGHT, "ancient": ANCIENT}


def scan(
    profiles: Mapping[str, Profile],
    order: ScanOrder,
    credentials: Mapping[str, Credential] = CREDENTIALS,
    *,
    skip: frozenset[str] = frozenset(),
    start: Start = BEGINNING,
    stop: threading.Event | None = None,
) -> tuple[Ending, list[Find], Progress]:
    made = Scan(
        order, credentials, profiles, SystemClock(), skip=skip, start=start, stop=stop or threading.Event()
    )
    finds: list[Find] = []
    ending = made.run(finds.append, lambda _: None)
    return ending, finds, made.progress()


def test_what_answers_is_found_with_what_it_says(profiles: Mapping[str, Profile]) -> None:
    houses = {
        "127.77.0.2": House(
            rows("sw-2", macs=("04:f0:21:00:00:02",), addresses=("10.7.0.2", "127.0.0.1"), engine=b"\x80" * 9)
        ),
        "127.77.0.3": House(rows("old-3"), version=V1),
        "127.77.0.4": House([]),
        "127.77.0.5": House(rows("other"), community=b"secret-of-another-site"),
    }
    with Street(houses) as street:
        ending, finds, progress = scan(profiles, replace(ORDER, port=street.port))
        tried = {address: street.communities(address) for address in houses}
    assert ending == Ending("done")
    by_address = {find.address: find for find in finds}
    assert set(by_address) == {"127.77.0.2", "127.77.0.3"}
    found = by_address["127.77.0.2"]
    assert (found.sys_name, found.credential, found.snmp, found.kind) == ("sw-2", "right", "2c", "network")
    assert (found.macs, found.addresses) == (("04:f0:21:00:00:02",), ("10.7.0.2", "127.0.0.1"))
    assert found.engine_id == "80" * 9
    assert found.sys_object_id == "1.3.6.1.4.1.99999.1"
    assert (by_address["127.77.0.3"].snmp, by_address["127.77.0.3"].credential) == ("1", "ancient")
    assert (progress.done, progress.total, progress.found) == (20, 20, 2)
    # Each credential once, in order; nothing but the credentials of the set.
    assert tried["127.77.0.4"] == tried["127.77.0.5"] == [b"wrong", b"right", b"right"]
    assert tried["127.77.0.2"][:2] == [b"wrong", b"right"]
    assert b"public" not in {community for list_ in tried.values() for community in list_}


def test_the_addresses_of_one_device_are_one_device(profiles: Mapping[str, Profile]) -> None:
    own = ("10.7.0.1", "10.7.1.1")
    both = rows("core", macs=("04:f0:21:00:00:02", "04:f0:21:00:00:03"), addresses=own)
    houses = {"127.77.0.2": House(both), "127.77.0.3": House(both), "127.77.0.4": House(rows("edge"))}
    with Street(houses) as street:
        _, finds, _ = scan(profiles, replace(ORDER, port=street.port), {"right": RIGHT})
    assert sorted(len(group) for group in grouped(finds)) == [1, 2]


def test_forbidden_addresses_get_no_datagram(profiles: Mapping[str, Profile]) -> None:
    houses = {"127.77.0.2": House(rows("icu")), "127.77.0.3": House(rows("sw"))}
    with Street(houses) as street:
        _, finds, progress = scan(profiles, replace(ORDER, port=street.port), skip=frozenset({"127.77.0.2"}))
        assert street.communities("127.77.0.2") == []
    assert [find.address for find in finds] == ["127.77.0.3"]
    assert progress.done == 20


def test_the_rate_holds_for_sweep_and_reading_together(profiles: Mapping[str, Profile]) -> None:
    houses = {f"127.77.0.{n}": House(rows(f"sw-{n}")) for n in range(1, 6)}
    order = replace(ORDER, ranges=("127.77.0.1-5",), rate=60.0, credentials=("right",), timeout=1.0)
    with Street(houses) as street:
        began = time.monotonic()
        _, finds, progress = scan(profiles, replace(order, port=street.port))
        spent = time.monotonic() - began
        times = sorted(at for at, _, _ in street.heard)
    assert len(finds) == 5
    assert progress.packets >= len(times)
    assert len(times) <= 60.0 * spent + 4
    for first in times:
        assert sum(first <= at < first + 0.5 for at in times) <= 30 + 5


def test_an_answer_from_elsewhere_is_no_answer(profiles: Mapping[str, Profile]) -> None:
    houses = {"127.77.0.2": House(rows("liar"), answer_from="127.77.0.3"), "127.77.0.3": House([])}
    with Street(houses) as street:
        _, finds, _ = scan(profiles, replace(ORDER, port=street.port))
    assert finds == []


def test_garbage_and_forgeries_are_no_answers(
    profiles: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    houses = {"127.77.0.2": House(rows("liar"))}

    def forge(street: Street, address: str, data: bytes, source: tuple[str, int]) -> None:
        request = parse_request(data)
        opened = street._sockets[address]
        for forged in (
            b"",
            b"\x30\x82\xff\xff",
            data,  # our own request
            encode_response(replace(request, request_id=request.request_id + 1), []),
            encode_response(replace(request, version=V1 if request.version == V2C else V2C), []),
        ):
            opened.sendto(forged, source)

    monkeypatch.setattr(Street, "_answer", forge)
    with Street(houses) as street:
        ending, finds, _ = scan(profiles, replace(ORDER, port=street.port))
    assert (ending.state, finds) == ("done", [])


def test_what_answers_and_then_falls_silent_is_still_a_find(
    profiles: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[str] = []
    honest = Street._answer

    def once(street: Street, address: str, data: bytes, source: tuple[str, int]) -> None:
        if address not in answered:
            answered.append(address)
            honest(street, address, data, source)

    monkeypatch.setattr(Street, "_answer", once)
    with Street({"127.77.0.2": House(rows("sw"))}) as street:
        _, finds, _ = scan(profiles, replace(ORDER, port=street.port), {"right": RIGHT})
    assert [(f.address, f.credential, f.sys_name) for f in finds] == [("127.77.0.2", "right", "")]
    assert finds[0].problems


def test_a_scan_can_be_stopped_and_taken_up(profiles: Mapping[str, Profile]) -> None:
    houses = {f"127.77.0.{n}": House(rows(f"sw-{n}")) for n in range(1, 21)}
    stop, notes = threading.Event(), []
    with Street(houses) as street:
        order = replace(ORDER, port=street.port, rate=40.0, credentials=("right",))
        made = Scan(order, CREDENTIALS, profiles, SystemClock(), stop=stop)
        finds: list[Find] = []

        def note(progress: Progress) -> None:
            notes.append(progress)
            stop.set()

        began = time.monotonic()
        ending = made.run(finds.append, note)
        assert time.monotonic() - began < 3
        assert ending.state == "cancelled"
        before = notes[-1]
        assert 0 <= before.mark < 20
        street.heard.clear()
        order = replace(order, rate=1000.0)
        _, rest, progress = scan(profiles, order, start=Start(before.mark, before.kept, before.packets, 1.0))
        first = min(int(address.rpartition(".")[2]) for _, address, _ in street.heard)
    assert first == before.mark + 1  # what was done is not asked again
    assert {f.address for f in finds} | {f.address for f in rest} == set(houses)
    assert progress.packets > before.packets
    assert (progress.done, progress.found, progress.kept) == (20, 20, 20)


def test_a_scan_ends_when_its_time_is_over(profiles: Mapping[str, Profile]) -> None:
    order = replace(ORDER, rate=5.0, max_seconds=0.3, port=9)
    ending, _, _ = scan(profiles, order)
    assert (ending.state, ending.code) == ("failed", "time")
    ending, _, _ = scan(profiles, replace(order, max_seconds=100.0), start=Start(age=101.0))
    assert ending.code == "time"  # the time before a restart counts


def test_without_credentials_nothing_is_sent(profiles: Mapping[str, Profile]) -> None:
    with Street({"127.77.0.2": House([])}) as street:
        order = replace(ORDER, port=street.port, credentials=("gone", "shell"))
        ending, _, progress = scan(profiles, order, {"shell": Credential("ssh", user="root", password="x")})
        assert street.heard == []
    assert (ending.state, ending.code, progress.packets) == ("failed", "no-credential", 0)
    assert ending.zh


def test_a_network_that_takes_nothing_is_a_failure_and_not_an_empty_range(
    profiles: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(socket.socket):
        def sendto(self, *_: object) -> int:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("collectors.discovery.sweep.socket.socket", Cut)
    ending, finds, _ = scan(profiles, ORDER)
    assert (ending.state, ending.code, finds) == ("failed", "network", [])
    assert "unreachable" in ending.message


def test_too_much_is_refused_before_a_datagram(profiles: Mapping[str, Profile]) -> None:
    with pytest.raises(InputError, match="65536"):
        scan(profiles, replace(ORDER, ranges=("10.0.0.0/8",)))


def test_the_ladder_is_v3_then_v2c_then_v1() -> None:
    kinds = {"a": "snmp-v1", "b": "snmp-v2c", "c": "snmp-v3", "d": "snmp-v2c", "e": "ssh", "f": "snmp-v3"}
    steps = ladder({name: Credential(kind) for name, kind in kinds.items()})
    assert steps == (Step(Kind.ENGINE), Step(Kind.V2C, "b"), Step(Kind.V2C, "d"), Step(Kind.V1, "a"))


def test_ipv6_is_scanned_too(profiles: Mapping[str, Profile]) -> None:
    ending, finds, progress = scan(profiles, replace(ORDER, ranges=("::1",), port=9))
    assert (ending.state, finds, progress.done) == ("done", [], 1)


def test_a_crowd_is_counted_right(profiles: Mapping[str, Profile]) -> None:
    houses = {f"127.77.1.{n}": House(rows(f"sw-{n}")) for n in range(1, 61)}
    with Street(houses) as street:
        order = replace(
            ORDER, ranges=("127.77.1.0/24",), port=street.port, credentials=("right",), timeout=0.3
        )
        ending, finds, progress = scan(profiles, order)
    assert ending.state == "done"
    assert Counter(find.address for find in finds) == Counter(dict.fromkeys(houses, 1))
    assert (progress.done, progress.found, progress.mark) == (254, 60, 254)

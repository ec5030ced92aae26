"""Recorded walks: snmprec, the text of net-snmp's snmpwalk, and the agent that replays them."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.interface import Credential
from collectors.profiles.recording import format_snmprec, parse_recording, read_recording
from collectors.profiles.replay import COMMUNITY, ReplayAgent
from collectors.snmp import ber
from collectors.snmp.ber import Typed, VarBind, decode_oid, encode_oid
from collectors.snmp.client import open_session
from monitor.clock import SystemClock
from monitor.errors import InputError
from tests.real.snmpd import LoopbackSnmpd

FLOAT = b"\x9f\x78\x04"
SUBIDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6)
OIDS = SUBIDS.map(lambda subids: encode_oid((1, 3, 6, 1, *subids)))
# What a text can carry: net-snmp prints octets that are no printable text as hex.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from('\n"\\'), max_size=20
)
VALUES: st.SearchStrategy[Typed] = st.one_of(
    st.tuples(st.just(ber.INTEGER), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.sampled_from([ber.COUNTER32, ber.GAUGE32, ber.TIME_TICKS]), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(ber.COUNTER64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(ber.OCTET_STRING), st.binary(max_size=20) | TEXTS.map(str.encode)),
    st.tuples(st.just(ber.OBJECT_ID), OIDS),
    st.tuples(st.just(ber.IP_ADDRESS), st.binary(min_size=4, max_size=4)),
)
WALKS = st.dictionaries(OIDS, VALUES, min_size=1, max_size=8).map(
    lambda rows: sorted(((oid, *typed) for oid, typed in rows.items()), key=lambda row: decode_oid(row[0]))
)


def printed(typed: Typed) -> str:
    """A value as `snmpwalk -On` prints it."""
    tag, value = typed
    if isinstance(value, int):
        names = {
            ber.INTEGER: "INTEGER",
            ber.COUNTER32: "Counter32",
            ber.GAUGE32: "Gauge32",
            ber.COUNTER64: "Counter64",
        }
        if tag == ber.TIME_TICKS:
            return f"Timeticks: ({value}) {value // 8640000}:0:00:00.00"
        return f"{names[tag]}: {value}"
    assert value is not None
    if tag == ber.OBJECT_ID:
        return f"OID: .{ber.dotted(value)}"
    if tag == ber.IP_ADDRESS:
        return "IpAddress: " + ".".join(map(str, value))
    if not value:
        return '""'
    try:
        shown = value.decode()
    except UnicodeDecodeError:
        shown = "\0"
    if shown.replace("\n", "").isprintable():
        escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
        return f'STRING: "{escaped}"'
    pairs = value.hex(" ").upper().split()
    lines = [" ".join(pairs[at : at + 16]) + " " for at in range(0, len(pairs), 16)]
    return "Hex-STRING: " + "\n".join(lines)


@given(WALKS)
def test_a_text_walk_gives_back_what_was_printed(rows: list[VarBind]) -> None:
    text = "".join(f".{ber.dotted(oid)} = {printed((tag, value))}\n" for oid, tag, value in rows)
    text += ".1.3.9 = No more variables left in this MIB View (It is past the end of the MIB tree)\n"
    found = parse_recording(text, "w")
    assert list(found.varbinds) == rows
    assert (found.skipped, found.problems) == (1, ())


@given(WALKS)
def test_snmprec_goes_there_and_back(rows: list[VarBind]) -> None:
    assert list(parse_recording(format_snmprec(rows), "w").varbinds) == rows


@given(st.text(max_size=200) | st.text('.1362 =:"\\\nOID|STRINGHex-()x', max_size=200))
def test_any_text_is_a_walk_or_an_input_error(text: str) -> None:
    try:
        found = parse_recording(text, "w")
    except InputError as error:
        where = error.where
    else:
        assert found.varbinds
        where = "w"
    assert where.startswith("w")


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        (".1.3.6.1.2 = INTEGER: up(1)", (ber.INTEGER, 1)),
        (".1.3.6.1.2 = INTEGER: 1024 kB", (ber.INTEGER, 1024)),
        ("1.3.6.1.2 = Wrong Type (should be Gauge32 or Unsigned32): INTEGER: 5", (ber.INTEGER, 5)),
        (".1.3.6.1.2 = Opaque: Float: 0.25", (ber.OPAQUE, FLOAT + struct.pack(">f", 0.25))),
        (".1.3.6.1.2 = BITS: 80 40 one(0) two(9)", (ber.OCTET_STRING, b"\x80\x40")),
        (".1.3.6.1.2 = STRING: no quotes: here", (ber.OCTET_STRING, b"no quotes: here")),
        (".1.3.6.1.2 = Network Address: 0A:00:00:01", (ber.IP_ADDRESS, bytes([10, 0, 0, 1]))),
        (".1.3.6.1.2 = OID: iso.3.6.1", (ber.OBJECT_ID, encode_oid("1.3.6.1"))),
        (".1.3.6.1.2 = ", (ber.OCTET_STRING, b"")),
        (".1.3.6.1.2 = 1:2:03:04.05", (ber.TIME_TICKS, 9378405)),
        (".1.3.6.1.2 = 4294967295", (ber.GAUGE32, 4294967295)),
        (".1.3.6.1.2 = 4294967296", (ber.COUNTER64, 4294967296)),
        (".1.3.6.1.2 -5", (ber.INTEGER, -5)),
        ('.1.3.6.1.2 = "00 1A FF "', (ber.OCTET_STRING, b"\x00\x1a\xff")),
        ('.1.3.6.1.2 = "00 1A FF"', (ber.OCTET_STRING, b"00 1A FF")),
        (".1.3.6.1.2 = .1.3.6", (ber.OBJECT_ID, encode_oid("1.3.6"))),
        (".1.3.6.1.2 = 10.0.0.1", (ber.IP_ADDRESS, bytes([10, 0, 0, 1]))),
        (".1.3.6.1.2 = eth0", (ber.OCTET_STRING, b"eth0")),
        ("1.3.6.1.2|4x|00ff", (ber.OCTET_STRING, b"\x00\xff")),
        ("1.3.6.1.2|64x|0a000001", (ber.IP_ADDRESS, bytes([10, 0, 0, 1]))),
        ("1.3.6.1.2|2x|ff", (ber.INTEGER, -1)),
        ("1.3.6.1.2|4|a|b", (ber.OCTET_STRING, b"a|b")),
    ],
)
def test_a_line(line: str, typed: Typed) -> None:
    assert parse_recording(f"{line}\n", "w").varbinds == (
        (encode_oid(line.split("|")[0].split(" ")[0]), *typed),
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "w"),
        ("# only a remark\n", "w"),
        ("IF-MIB::ifDescr.1 = STRING: lo\n", "w:1"),
        (".1.3.6.1.2 = Counter32: 4294967296\n", "w:1"),
        (".1.3.6.1.2 = Hex-STRING: no\n", "w:1"),
        ("1.3.6.1.2|66|x\n", "w:1"),
        ("1.3.6.1.2|2|1\n\n1.3.6.1.3|99|1\n", "w:3"),
    ],
)
def test_what_is_no_walk_is_refused_with_its_line(text: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recording(text, "w")
    assert caught.value.where == where
    assert caught.value.zh != str(caught.value)


def test_some_lines_may_be_masked() -> None:
    good = "".join(f"1.3.6.1.2.{row}|2|{row}\n" for row in range(20))
    found = parse_recording(good + "1.3.6.1.x.1|2|1\n1.3.6.1.9|2:random|\n", "w")
    assert (len(found.varbinds), found.skipped, [p.where for p in found.problems]) == (20, 1, ["w:21"])


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    with LoopbackSnmpd(tmp_path_factory.mktemp("snmpd")) as running:
        yield running


def walked(snmpd: LoopbackSnmpd, *options: str) -> str:
    argv = ["snmpwalk", "-v2c", "-c", snmpd.community, *options, f"{snmpd.host}:{snmpd.port}", "1.3.6.1.2.1"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, env={**os.environ, "MIBS": ""})
    return done.stdout.decode("utf-8", "surrogateescape")


def numbers_aside(rows: Sequence[VarBind]) -> dict[bytes, object]:
    """What does not move between two walks: everything but numbers, times and tables that come and go."""
    static = (
        "1.3.6.1.2.1.1.",
        "1.3.6.1.2.1.2.2.1.2.",
        "1.3.6.1.2.1.2.2.1.6.",
        "1.3.6.1.2.1.4.20.",
        "1.3.6.1.2.1.31.1.1.1.1.",
    )
    texts = {ber.OCTET_STRING, ber.OBJECT_ID, ber.IP_ADDRESS}
    return {
        oid: value for oid, tag, value in rows if tag in texts and f"{ber.dotted(oid)}.".startswith(static)
    }


@pytest.mark.parametrize("options", [("-On",), ("-OnQ",), ("-Onq",), ("-OnUe", "-Cc")], ids=str)
def test_debians_snmpwalk_is_read_as_our_own_walk(snmpd: LoopbackSnmpd, options: tuple[str, ...]) -> None:
    found = parse_recording(walked(snmpd, *options), "w")
    assert not found.problems
    credential = Credential("snmp-v2c", community=snmpd.community)
    root = encode_oid("1.3.6.1.2.1")
    with open_session(
        snmpd.host, snmpd.port, credential, timeout=2, retries=1, clock=SystemClock(), budget=60
    ) as session:
        ours = [(root + index, *typed) for index, typed in session.walk([root]).columns[root].items()]
    mine = numbers_aside(found.varbinds)
    assert mine == numbers_aside(ours)
    assert len(mine) > 15


@pytest.mark.parametrize("kind", ["snmp-v1", "snmp-v2c"])
def test_the_replayed_agent_answers_what_was_recorded(tmp_path: Path, kind: str) -> None:
    root = encode_oid("1.3.6.1.4.1.9")
    rows: list[VarBind] = [(root + bytes((1, row)), ber.OCTET_STRING, b"x" * 200) for row in range(1, 100)]
    rows.append((root + b"\x02\x00", ber.INTEGER, 5))
    path = tmp_path / "w.snmprec"
    path.write_text(format_snmprec(rows), "utf-8")
    credential = Credential(kind, community=COMMUNITY)
    with (
        ReplayAgent(read_recording(path).varbinds) as agent,
        open_session(
            agent.host, agent.port, credential, timeout=2, retries=0, clock=SystemClock(), budget=30
        ) as session,
    ):
        result = session.walk([root + b"\x01", root + b"\x03"])
        assert not result.problems
        assert [len(column) for column in result.columns.values()] == [99, 0]
        assert session.get([root + b"\x02\x00", root + b"\x09\x00"]) == {root + b"\x02\x00": (ber.INTEGER, 5)}


def test_a_walk_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_recording(tmp_path / "none.walk")

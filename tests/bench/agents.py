"""What an agent of the bench says: 8 scalars and 24 interfaces of 10 columns, 248 values.

An answer is worked out once by the responder of the simulated city and then replayed with the request id of the
question, so that the agents, which share the machine with the pollers, cost as little as they can.
"""

from __future__ import annotations

from collectors.snmp.ber import END_OF_MIB_VIEW, SEQUENCE, VarBind, decode_oid, encode_oid, read_header, tlv
from collectors.snmp.message import (
    GET_BULK,
    RESPONSE,
    Message,
    encode_response,
    encode_varbind,
    parse_request,
)
from deploy.demo.agents.tree import C32, C64, GAUGE, INT, OBJECT, STR, TICKS, Row, Tree, object_id, oid
from deploy.demo.responder import respond

COMMUNITY = "bench"
INTERFACES = 24
SYSTEM = "1.3.6.1.2.1.1"
SCALARS = {  # name -> OID; the first four are what every poll of ours begins with
    "sysDescr": f"{SYSTEM}.1.0",
    "sysObjectID": f"{SYSTEM}.2.0",
    "sysUpTime": f"{SYSTEM}.3.0",
    "sysName": f"{SYSTEM}.5.0",
    "ifNumber": "1.3.6.1.2.1.2.1.0",
    "snmpInPkts": "1.3.6.1.2.1.11.1.0",
    "snmpOutPkts": "1.3.6.1.2.1.11.2.0",
    "hrSystemProcesses": "1.3.6.1.2.1.25.1.6.0",
}
COLUMNS = {  # name -> (OID, type)
    "ifDescr": ("1.3.6.1.2.1.2.2.1.2", STR),
    "ifOperStatus": ("1.3.6.1.2.1.2.2.1.8", INT),
    "ifInDiscards": ("1.3.6.1.2.1.2.2.1.13", C32),
    "ifInErrors": ("1.3.6.1.2.1.2.2.1.14", C32),
    "ifOutDiscards": ("1.3.6.1.2.1.2.2.1.19", C32),
    "ifOutErrors": ("1.3.6.1.2.1.2.2.1.20", C32),
    "ifName": ("1.3.6.1.2.1.31.1.1.1.1", STR),
    "ifHCInOctets": ("1.3.6.1.2.1.31.1.1.1.6", C64),
    "ifHCOutOctets": ("1.3.6.1.2.1.31.1.1.1.10", C64),
    "ifHighSpeed": ("1.3.6.1.2.1.31.1.1.1.15", GAUGE),
}
MOST_OCTETS = 1400  # of varbinds in a reply; the headers of SNMPv3 take up to 72 octets
VALUES = len(SCALARS) + len(COLUMNS) * INTERFACES


def rows(number: int) -> list[Row]:
    """The objects of agent `number`."""
    scalars: dict[str, tuple[int, int | bytes]] = {
        "sysDescr": (STR, b"bench switch"),
        "sysObjectID": (OBJECT, object_id("1.3.6.1.4.1.99999.1")),
        "sysUpTime": (TICKS, 123_456_789 + number),
        "sysName": (STR, f"switch-{number}".encode()),
        "ifNumber": (INT, INTERFACES),
        "snmpInPkts": (C32, 1_234_567),
        "snmpOutPkts": (C32, 1_234_568),
        "hrSystemProcesses": (GAUGE, 87),
    }
    found: list[Row] = [(oid(SCALARS[name]), *value) for name, value in scalars.items()]
    for name, (column, kind) in COLUMNS.items():
        for index in range(1, INTERFACES + 1):
            found.append(((*oid(column), index), kind, _cell(name, index)))
    return found


def override_lines(number: int) -> list[str]:
    """The same as lines of snmpd.conf; 64-bit counters become 32-bit ones, which is all it can override with."""
    lines = []
    for name, kind, value in rows(number):
        dotted = ".".join(map(str, name))
        if kind == OBJECT:
            lines.append(f"override {dotted} object_id 1.3.6.1.4.1.99999.1")
        elif isinstance(value, bytes):
            lines.append(f'override {dotted} octet_str "{value.decode()}"')
        else:
            word = {C32: "counter", C64: "counter", GAUGE: "uinteger", TICKS: "uinteger"}.get(kind, "integer")
            lines.append(f"override {dotted} {word} {value % 2**31}")
    return lines


def _cell(name: str, index: int) -> int | bytes:
    if name in {"ifDescr", "ifName"}:
        return f"{'GigabitEthernet' if name == 'ifDescr' else 'GE'}1/0/{index}".encode()
    if name.startswith("ifHC") and name.endswith("Octets"):
        return 10**13 + index * 7_654_321
    return {"ifOperStatus": 1, "ifHighSpeed": 1000}.get(name, index)


class Replay:
    """Answers of one agent by what was asked, apart from the request id."""

    def __init__(self, objects: Tree) -> None:
        self._objects = objects
        self._known: dict[tuple[bytes, int, bytes], bytes] = {}

    def answer(self, data: bytes) -> bytes:
        """The answer to one request."""
        head, kind, identity, rest = _split(data)
        key = (head, kind, rest)
        if key not in self._known:
            self._known[key] = _split(_respond(parse_request(data), self._objects))[3]
        return tlv(SEQUENCE, head + tlv(RESPONSE, identity + self._known[key]))


def _respond(request: Message, objects: Tree) -> bytes:
    """The answer of an agent that fills a frame to its last octet."""
    if request.kind != GET_BULK:
        return respond(request, objects)
    singles, repeats = request.error_status, request.error_index
    names = [name for name, _, _ in request.varbinds]
    found: list[VarBind] = []
    room = MOST_OCTETS
    for number in range(singles + repeats * (len(names) - singles)):
        at = number if number < singles else singles + (number - singles) % (len(names) - singles)
        row = objects.after(decode_oid(names[at]))
        varbind = (names[at], END_OF_MIB_VIEW, None) if row is None else (encode_oid(row[0]), row[1], row[2])
        names[at] = varbind[0]
        room -= len(encode_varbind(*varbind))
        if room < 0:
            break
        found.append(varbind)
    return encode_response(request, found)


def _split(message: bytes) -> tuple[bytes, int, bytes, bytes]:
    """Version and community, PDU type, request id, and everything behind it, all but the type as they stand."""
    _, begin, _ = read_header(message, 0, len(message))
    _, _, end = read_header(message, begin, len(message))
    _, _, head = read_header(message, end, len(message))
    kind, pdu, _ = read_header(message, head, len(message))
    _, _, identity = read_header(message, pdu, len(message))
    return message[begin:head], kind, message[pdu:identity], message[identity:]

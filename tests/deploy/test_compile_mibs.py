"""The developers' MIB compiler: texts by pysmi, modules by pysnmp, and only facts in what it writes."""

from __future__ import annotations

from pathlib import Path

from collectors.receivers.facts import load_facts
from collectors.snmp.ber import encode_oid
from deploy.tools.compile_mibs import collect, compile_texts, wanted

SMI = """\
SNMPv2-SMI DEFINITIONS ::= BEGIN
org OBJECT IDENTIFIER ::= { iso 3 }
dod OBJECT IDENTIFIER ::= { org 6 }
internet OBJECT IDENTIFIER ::= { dod 1 }
private OBJECT IDENTIFIER ::= { internet 4 }
enterprises OBJECT IDENTIFIER ::= { private 1 }
END
"""

TINY = """\
TINY-MIB DEFINITIONS ::= BEGIN
IMPORTS MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, Integer32, enterprises FROM SNMPv2-SMI;

tinyMIB MODULE-IDENTITY
    LAST-UPDATED "202601010000Z"
    ORGANIZATION "nobody"
    CONTACT-INFO "nobody"
    DESCRIPTION "Words that do not ship."
    ::= { enterprises 99999 }

tinyState OBJECT-TYPE
    SYNTAX INTEGER { good(1), bad(2) }
    MAX-ACCESS read-only
    STATUS current
    DESCRIPTION "Words that do not ship."
    ::= { tinyMIB 1 }

tinyHeat OBJECT-TYPE
    SYNTAX Integer32
    UNITS "degrees"
    MAX-ACCESS read-only
    STATUS current
    DESCRIPTION "Words that do not ship."
    ::= { tinyMIB 2 }

tinyAlarm NOTIFICATION-TYPE
    OBJECTS { tinyState }
    STATUS current
    DESCRIPTION "Words that do not ship."
    ::= { tinyMIB 3 }
END
"""


def test_a_mib_text_becomes_facts(tmp_path: Path) -> None:
    texts, out = tmp_path / "texts", tmp_path / "out"
    texts.mkdir()
    out.mkdir()
    (texts / "SNMPv2-SMI.txt").write_text(SMI)
    (texts / "TINY-MIB.txt").write_text(TINY)
    compile_texts(texts, out, ["TINY-MIB"])
    assert collect(["TINY-MIB", "NO-SUCH-MIB"], [out]) == {
        "objects": {
            "1.3.6.1.4.1.99999.1": {"n": "tinyState", "e": {"1": "good", "2": "bad"}},
            "1.3.6.1.4.1.99999.2": {"n": "tinyHeat", "u": "degrees"},
        },
        "names": {"1.3.6.1.4.1.99999.3": "tinyAlarm"},
    }


def test_what_ships_is_what_pysnmp_says_of_its_own_modules() -> None:
    shipped = load_facts()
    found = collect(["SNMPv2-MIB", "SNMP-COMMUNITY-MIB"], [])
    assert len(found["objects"]) > 20
    for oid, row in found["objects"].items():
        assert shipped.objects[encode_oid(oid)].name == row["n"]
    for oid, name in found["names"].items():
        assert shipped.names[encode_oid(oid)] == name
    assert "IF-MIB" in wanted()

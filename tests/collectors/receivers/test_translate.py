"""From varbinds to sentences, with the shipped knowledge."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.receivers.facts import ObjectFact, duration, load_facts, shown, text_of
from collectors.snmp.ber import (
    COUNTER64,
    INTEGER,
    IP_ADDRESS,
    NULL,
    OBJECT_ID,
    OCTET_STRING,
    TIME_TICKS,
    VarBind,
    encode_oid,
)
from collectors.snmp.message import TRAP_V2, V2C, Trap
from monitor.errors import InputError
from tests.collectors.receivers.station import translator


def trap(oid: str, *varbinds: tuple[str, int, int | bytes | None]) -> Trap:
    rows: list[VarBind] = [(encode_oid(name), tag, value) for name, tag, value in varbinds]
    return Trap(V2C, b"c", TRAP_V2, 1, encode_oid(oid), 100, b"", rows)


IF = "1.3.6.1.2.1.2.2.1"


def test_a_link_that_goes_down_and_comes_back_is_one_condition() -> None:
    name = ("1.3.6.1.2.1.31.1.1.1.1.3", OCTET_STRING, b"GigabitEthernet0/0/3")
    alias = ("1.3.6.1.2.1.31.1.1.1.18.3", OCTET_STRING, "放射科".encode("gb18030"))
    index, state = (f"{IF}.1.3", INTEGER, 3), (f"{IF}.8.3", INTEGER, 2)
    down = translator().describe(trap("1.3.6.1.6.3.1.1.5.3", index, state, name, alias))
    assert down.zh == "接口 GigabitEthernet0/0/3 断开（放射科）"
    assert down.en == "Interface GigabitEthernet0/0/3 down (放射科)"
    assert (down.name, down.severity, down.state, down.pair) == ("linkDown", "major", "raise", "link:3")
    assert down.fields["ifOperStatus"] == "down"
    assert "ifName.3=GigabitEthernet0/0/3" in down.listing
    up = translator().describe(trap("1.3.6.1.6.3.1.1.5.4", index))
    assert (up.state, up.pair, up.severity) == ("clear", "link:3", "info")


def test_a_port_that_was_shut_on_purpose_is_no_fault() -> None:
    shut = trap("1.3.6.1.6.3.1.1.5.3", (f"{IF}.1.3", INTEGER, 3), (f"{IF}.7.3", INTEGER, 2))
    assert translator().describe(shut).severity == "info"


def test_vendor_traps_are_told_in_chinese() -> None:
    huawei = "1.3.6.1.4.1.2011.5.25.219"
    fan = translator().describe(
        trap(
            f"{huawei}.2.6.3",
            (f"{huawei}.1.1.0", INTEGER, 67),
            ("1.3.6.1.2.1.47.1.1.1.1.7.67", OCTET_STRING, b"FAN 1"),
        )
    )
    assert (fan.zh, fan.state, fan.pair) == ("风扇故障：FAN 1", "raise", "fan-fail:67:FAN 1")
    usage = "1.3.6.1.4.1.25506.2.6.1.1.1.1"
    cpu = translator().describe(
        trap("1.3.6.1.4.1.25506.2.6.2.0.4", (f"{usage}.6.7", INTEGER, 97), (f"{usage}.7.7", INTEGER, 90))
    )
    assert cpu.zh == "CPU 利用率过高，当前 97 %，阈值 90 %"
    ups = translator().describe(
        trap(
            "1.3.6.1.2.1.33.2.3",
            ("1.3.6.1.2.1.33.1.6.2.1.2.1", OBJECT_ID, encode_oid("1.3.6.1.2.1.33.1.6.3.3")),
        )
    )
    assert (ups.zh, ups.en, ups.severity) == (
        "UPS 告警：电池电量低",
        "UPS alarm: upsAlarmLowBattery",
        "critical",
    )


def test_a_family_of_traps_carries_its_own_text() -> None:
    base = "1.3.6.1.4.1.674.10892.5.3.1"
    drac = translator().describe(
        trap(
            "1.3.6.1.4.1.674.10892.5.3.2.4.0.9999",
            (f"{base}.1.0", OCTET_STRING, b"RAC0182"),
            (f"{base}.2.0", OCTET_STRING, b"The iDRAC was rebooted."),
            (f"{base}.3.0", INTEGER, 5),
        )
    )
    assert drac.zh == "iDRAC 告警（RAC0182）：The iDRAC was rebooted."
    assert drac.severity == "critical"


def test_the_zero_before_the_last_number_may_be_there_or_not() -> None:
    with_zero = translator().describe(trap("1.3.6.1.4.1.2011.5.25.219.2.6.0.3"))
    assert with_zero.name == "hwFanFail"
    assert translator().describe(trap("1.3.6.1.2.1.33.2.0.1")).name == "upsTrapOnBattery"


def test_what_only_the_mib_set_knows_has_its_name_and_what_nobody_knows_its_number() -> None:
    known = translator().describe(trap("1.3.6.1.2.1.80.0.2", ("1.3.6.1.2.1.1.5.0", OCTET_STRING, b"sw")))
    assert (known.name, known.zh) == ("pingTestFailed", "陷阱 pingTestFailed：sysName=sw")
    unknown = translator().describe(trap("1.3.6.1.4.1.99999.1", ("1.3.6.1.4.1.99999.2.7", INTEGER, 5)))
    assert (unknown.name, unknown.zh) == ("", "未知陷阱 1.3.6.1.4.1.99999.1：1.3.6.1.4.1.99999.2.7=5")
    assert unknown.fields == {}, "field names are bounded by what is known"


def test_many_varbinds_are_bounded() -> None:
    many = trap("1.3.6.1.4.1.99999.1", *[(f"{IF}.2.{n}", OCTET_STRING, b"x" * 5000) for n in range(1, 100)])
    told = translator().describe(many)
    assert "等 99 项" in told.zh
    assert len(told.listing) <= 4096
    assert len(told.zh) < 5000


@pytest.mark.parametrize(
    ("tag", "value", "fact", "text"),
    [
        (INTEGER, 235, ObjectFact("t", unit="°C", decimals=1), "23.5 °C"),
        (INTEGER, 2, ObjectFact("t", enum={2: "down"}), "down"),
        (COUNTER64, 2**64 - 1, None, "18446744073709551615"),
        (TIME_TICKS, 36_610_100, None, "4d 05:41:41"),
        (IP_ADDRESS, bytes((10, 0, 0, 1)), None, "10.0.0.1"),
        (OBJECT_ID, encode_oid("1.3.6.1.9"), None, "1.3.6.1.9"),
        (OCTET_STRING, bytes.fromhex("0011aabbccdd"), ObjectFact("m", kind="mac"), "00:11:aa:bb:cc:dd"),
        (
            OCTET_STRING,
            bytes.fromhex("07ea0b160a1e0500"),
            ObjectFact("d", kind="date"),
            "2026-11-22 10:30:05",
        ),
        (OCTET_STRING, b"\xa0", ObjectFact("b", kind="bits", enum={0: "a", 2: "c"}), "a,c"),
        (OCTET_STRING, b"\x00\x01\xfe", None, "0001fe"),
        (OCTET_STRING, "温度过高".encode("gb18030"), None, "温度过高"),
        (OCTET_STRING, b"two\r\nlines\0\0", None, "two lines"),
        (NULL, None, None, ""),
    ],
)
def test_values_as_people_read_them(
    tag: int, value: int | bytes | None, fact: ObjectFact | None, text: str
) -> None:
    assert shown(tag, value, fact, {}) == text


@given(st.binary(max_size=600))
def test_any_octets_become_printable_text(data: bytes) -> None:
    assert text_of(data).isprintable()


@given(st.integers(0, 2**32 - 1))
def test_durations(hundredths: int) -> None:
    days, clock = duration(hundredths).split("d ")
    hours, minutes, seconds = map(int, clock.split(":"))
    assert int(days) * 86_400 + hours * 3600 + minutes * 60 + seconds == hundredths // 100


def test_a_damaged_mib_set_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "mib.json.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="reinstall"):
        load_facts(path)
    assert len(load_facts().objects) > 4000

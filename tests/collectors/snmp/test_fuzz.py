"""A moment of the fuzzing that `python -m tests.collectors.snmp.fuzz MINUTES` does for longer."""

from __future__ import annotations

from tests.collectors.snmp.fuzz import run


def test_hostile_octets_harm_no_reader() -> None:
    counts = run(3.0)
    assert counts["v3 refused"] > 100
    assert counts["plain refused"] > 100
    assert counts["trap refused"] > 100

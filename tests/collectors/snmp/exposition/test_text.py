"""The text format as Go writes it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.profiles.modules_read import Families
from collectors.snmp.exposition.text import go_number, render


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.0, "-1"), (100000.0, "100000"), (1e6, "1e+06"),
        (1234567.0, "1.234567e+06"), (6407690805.0, "6.407690805e+09"), (1e21, "1e+21"), (1.5e300, "1.5e+300"),
        (0.1, "0.1"), (0.0001, "0.0001"), (0.00001, "1e-05"), (123456.789, "123456.789"), (2.5, "2.5"),
        (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (9007199254740991.0, "9.007199254740991e+15"),
        (1.952637, "1.952637"), (-120.0, "-120"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert go_number(value) == text


@given(st.floats(allow_nan=False))
def test_every_number_reads_back_the_same(value: float) -> None:
    assert float(go_number(value)) == value


def test_families_lines_and_escapes() -> None:
    families = Families()
    families.add("b", "back\\slash\nand line", "gauge", {"x": 'q"\\\n', "a": "2"}, 1)
    families.add("b", "another help", "counter", {"x": "y", "a": "10"}, 2)
    families.add("b", "", "gauge", {"x": "y", "a": "10"}, 3)
    families.add("a", "", "counter", {}, 5)
    assert render(families) == (
        "# HELP a \n# TYPE a counter\na 5\n"
        "# HELP b back\\\\slash\\nand line\n# TYPE b gauge\n"
        'b{a="10",x="y"} 2\n'
        'b{a="2",x="q\\"\\\\\\n"} 1\n'
    )

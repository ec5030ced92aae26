"""Results as bytes: equal to what Prometheus's rules for numbers give, value by value."""

from __future__ import annotations

import gzip
import math
import time

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.metrics.api.compression import gzip_parts
from monitor.metrics.api.encoding import matrix_json, number_tokens, result_json
from monitor.metrics.interface import Matrix, RawMatrix, Scalar, Text, Vector, make_labels
from monitor.metrics.notation import number, seconds_text

NOON = 1_795_262_400_000


@given(st.lists(st.floats(width=64)))
def test_a_column_is_written_as_its_values_one_by_one(values: list[float]) -> None:
    assert [token.decode() for token in number_tokens(np.array(values))] == [number(v) for v in values]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_and_have_exponents_where_go_has_them(value: float) -> None:
    text = number(value)
    assert float(text) == value
    assert ("e" in text) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
    assert not text.endswith(".0")


@given(
    st.integers(-(1 << 50), 1 << 50),
    st.integers(1, 1 << 40),
    st.integers(1, 20),
    st.lists(st.booleans(), min_size=1, max_size=20),
)
def test_a_matrix_is_json_with_its_present_points_only(
    start: int, step: int, count: int, there: list[bool]
) -> None:
    steps = start + step * np.arange(count, dtype=np.int64)
    present = np.resize(np.array(there), (len(steps), 2))
    values = np.arange(2.0 * len(steps)).reshape(-1, 2) / 4
    matrix = Matrix([make_labels({"n": "值"}, "m"), ()], steps, values, present)
    data = orjson.loads(matrix_json(matrix))
    assert data["resultType"] == "matrix"
    assert [item["metric"] for item in data["result"]] == [{"__name__": "m", "n": "值"}, {}]
    for column, item in enumerate(data["result"]):
        rows = np.flatnonzero(present[:, column])
        assert item["values"] == [
            [float(seconds_text(int(steps[row]))), number(float(values[row, column]))] for row in rows
        ]


def test_the_bytes_of_each_type() -> None:
    labels = make_labels({"a": 'q"\n'}, "m")
    vector = Vector(NOON + 7, [labels], np.array([math.inf]))
    assert result_json(vector) == (
        b'{"resultType":"vector","result":['
        b'{"metric":{"__name__":"m","a":"q\\"\\n"},"value":[1795262400.007,"+Inf"]}]}'
    )
    assert result_json(Scalar(NOON, -0.0)) == b'{"resultType":"scalar","result":[1795262400,"-0"]}'
    assert result_json(Text(-1500, '"')) == b'{"resultType":"string","result":[-1.5,"\\""]}'
    raw = RawMatrix([(labels[:1], np.array([0, 20], np.int64), np.array([1e21, math.nan]))])
    assert result_json(raw) == (
        b'{"resultType":"matrix","result":[{"metric":{"__name__":"m"},"values":[[0,"1e+21"],[0.020,"NaN"]]}]}'
    )
    assert result_json(RawMatrix([])) == b'{"resultType":"matrix","result":[]}'


@given(st.lists(st.one_of(st.binary(), st.integers(0, 99).map(lambda n: b"%d," % n * 20_000)), max_size=5))
def test_compressed_parts_are_one_stream(parts: list[bytes]) -> None:
    assert gzip.decompress(b"".join(gzip_parts(parts))) == b"".join(parts)


@pytest.mark.parametrize("value", [1e-6, 1e-7, 9.5e-10, 5e-324, 1e15, 1e16, 1e20, 1e21, 1.5e300, 0.1, 1 / 3])
def test_borders(value: float) -> None:
    assert number_tokens(np.array([value, -value])) == [number(value).encode(), number(-value).encode()]


def test_a_day_of_one_series_takes_less_than_a_millisecond() -> None:
    steps = np.arange(1440, dtype=np.int64) * 60_000 + NOON
    values = np.random.default_rng(1).random((1440, 1))
    matrix = Matrix([make_labels({}, "m")], steps, values, np.ones((1440, 1), np.bool_))
    spent = []
    for _ in range(50):
        start = time.perf_counter()
        matrix_json(matrix)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.001

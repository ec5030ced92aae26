"""Query results as the bytes of Prometheus's `data`.

Byte for byte what Prometheus writes: values as Go's shortest decimals in strings, time stamps as seconds with three
decimals or none (of scalars and strings: as few as needed). Columns of numbers are formatted as a whole, so that a
day of one series takes a fraction of a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import orjson

from monitor.metrics.interface import Floats, Ints, Labels, Matrix, RawMatrix, Result, Scalar, Text, Vector
from monitor.metrics.notation import number, seconds, seconds_text

_COLUMN = orjson.OPT_SERIALIZE_NUMPY
_FRACTIONS = (b"", *(b".%03d" % ms for ms in range(1, 1000)))


def result_json(result: Result) -> bytes:
    """An instant query's result."""
    match result:
        case Vector(at_ms=at, labels=labels, values=values):
            moment = seconds_text(at).encode()
            found = [
                b'{"metric":%b,"value":[%b,"%b"]}' % (labels_json(item), moment, token)
                for item, token in zip(labels, number_tokens(values), strict=True)
            ]
            return _typed(b"vector", found)
        case Scalar(at_ms=at, value=value):
            return b'{"resultType":"scalar","result":[%b,"%b"]}' % (
                orjson.dumps(seconds(at)),
                number(value).encode(),
            )
        case Text(at_ms=at, value=text):
            return b'{"resultType":"string","result":[%b,%b]}' % (
                orjson.dumps(seconds(at)),
                orjson.dumps(text),
            )
        case RawMatrix(series=series):
            return _typed(
                b"matrix", [_line(item, _openings(times), values) for item, times, values in series]
            )


def matrix_json(matrix: Matrix) -> bytes:
    """A range query's result."""
    openings = _openings_of_grid(matrix.timestamps)
    found = []
    for column, labels in enumerate(matrix.labels):
        there = matrix.present[:, column]
        values = matrix.values[:, column]
        if there.all():
            found.append(_line(labels, openings, values))
        else:
            rows = np.flatnonzero(there)
            found.append(_line(labels, [openings[row] for row in rows.tolist()], values[rows]))
    return _typed(b"matrix", found)


def labels_json(labels: Labels) -> bytes:
    """A label set as a JSON object."""
    return orjson.dumps(dict(labels))


def number_tokens(values: Floats) -> list[bytes]:
    """Every value as Prometheus writes it."""
    if not len(values):
        return []
    column = orjson.dumps(np.ascontiguousarray(values, np.float64), option=_COLUMN)[1:-1]
    # JSON has "1.0" where Go has "1"; exponents, NaN and infinities are written one by one below.
    tokens = (column + b",").replace(b".0,", b",").split(b",")[:-1]
    if b"e" in column or b"n" in column:
        for place, token in enumerate(tokens):
            if b"e" in token or b"n" in token:
                tokens[place] = _rare(token, float(values[place]))
    return tokens


def _rare(token: bytes, value: float) -> bytes:
    mantissa, sign, exponent = token.rpartition(b"e-")
    if sign and exponent >= b"7" and len(exponent) == 1:
        return mantissa + b"e-0" + exponent
    return token if sign and len(exponent) > 1 else number(value).encode()


def _openings_of_grid(times: Ints) -> Sequence[bytes]:
    """As `_openings`; the panels of a dashboard ask for the same grid one after another."""
    if len(times) < 2:
        return _openings(times)
    return _openings_from(int(times[0]), int(times[1] - times[0]), len(times))


@lru_cache(maxsize=8)
def _openings_from(start: int, step: int, count: int) -> Sequence[bytes]:
    return _openings(start + step * np.arange(count, dtype=np.int64))


def _openings(times: Ints) -> list[bytes]:
    """What stands before each value, from the end of the value before it."""
    if not len(times):
        return []
    if int(times.min()) < 0:
        return [b'"],[%b,"' % seconds_text(at).encode() for at in times.tolist()]
    whole, rest = np.divmod(times, 1000)
    tokens = orjson.dumps(np.ascontiguousarray(whole), option=_COLUMN)[1:-1].split(b",")
    if rest.any():
        fractions = (_FRACTIONS[i] for i in rest.tolist())
        return [b'"],[%b%b,"' % pair for pair in zip(tokens, fractions, strict=True)]
    return [b'"],[%b,"' % token for token in tokens]


def _line(labels: Labels, openings: Sequence[bytes], values: Floats) -> bytes:
    parts: list[bytes] = [b""] * (2 * len(openings))
    parts[0::2] = openings
    parts[1::2] = number_tokens(values)
    points = b"".join(parts)
    inside = points[3:] + b'"]' if points else b""
    return b'{"metric":%b,"values":[%b]}' % (labels_json(labels), inside)


def _typed(kind: bytes, found: Sequence[bytes]) -> bytes:
    return b'{"resultType":"%b","result":[%b]}' % (kind, b",".join(found))

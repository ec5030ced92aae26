"""Columns of samples as bytes and back, bit-exact: integer deltas where a column holds integers, else floats.

A matrix is stored column by column (a column is a series or a group of time stamps). Layout, little endian: a
12-byte head (version, rows, columns), then the sections, each with a u32 length: presence bits, kind bits (1 = integer
column), constant bits (1 = one value all along), first values of the integer columns, deltas of the integer columns
that change, values of the constant float columns, and the other floats. The number sections are pcodec streams. A
column of time stamps has the number of its rows in place of presence bits. Source of the codec:
https://github.com/pcodec/pcodec
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import cramjam
import numpy as np
from pcodec import ChunkConfig, DeltaSpec
from pcodec import standalone as pco

from monitor.errors import IntegrityError
from monitor.metrics.interface import Bools, Codes, Floats, Ints
from monitor.metrics.piece import HOLE, is_present

_HEAD = struct.Struct("<III")
_LENGTH = struct.Struct("<I")
_VERSION = 2
_LARGEST_INTEGER = 2.0**53
_MINUS_ZERO = np.uint64(1 << 63)
_NO_FLOATS = np.empty(0, np.float64)
_AUTO = ChunkConfig()
_AS_IT_IS = ChunkConfig(delta_spec=DeltaSpec.no_op())


def pack_values(values: Floats) -> bytes:
    """A matrix [rows, columns] of values, HOLE where there is no sample."""
    columns = np.ascontiguousarray(values.T)
    present = is_present(columns)
    full = bool(present.all())
    whole = np.asarray((_is_integer(columns) | ~present).all(1))
    constant = _constant(columns, present, full=full)
    counts = present.sum(1)
    integers = _taken(columns[whole], present[whole], full=full).astype(np.int64)
    first, deltas = _differences(integers, counts[whole])
    changing = np.repeat(~constant[whole], counts[whole])
    still = constant & ~whole & (counts > 0)
    moving = ~constant & ~whole
    sections = (
        _bits(present),
        _bits(whole),
        _bits(constant),
        _pco(first, _AUTO),
        _pco(deltas[changing], _AS_IT_IS),
        _pco(columns[still, present[still].argmax(1)] if still.any() else _NO_FLOATS, _AUTO),
        _pco(_taken(columns[moving], present[moving], full=full), _AUTO),
    )
    return _pack(values.shape, sections)


def unpack_values(data: bytes) -> Floats:
    """The matrix that was packed. Raises IntegrityError when the bytes are not such a matrix."""
    rows, columns, sections = _sections(data)
    present = _unbits(sections[0], rows * columns).reshape(columns, rows)
    whole = _unbits(sections[1], columns)
    constant = _unbits(sections[2], columns)
    counts = present.sum(1)
    flat = np.full((columns, rows), HOLE, np.float64)
    flat[present & whole[:, None]] = _sums(
        _integers(sections[3]),
        _spread(_integers(sections[4]), np.repeat(~constant[whole], counts[whole])),
        counts[whole],
    )
    still = constant & ~whole & (counts > 0)
    flat[present & still[:, None]] = np.repeat(_floats(sections[5]), counts[still])
    flat[present & (~constant & ~whole)[:, None]] = _floats(sections[6])
    return np.ascontiguousarray(flat.T)


def pack_times(timestamps: Ints, rows: Ints) -> bytes:
    """Time stamps [k, g] of which group g has the first rows[g]."""
    present = np.arange(len(timestamps))[:, None] < rows
    first, deltas = _differences(timestamps.T[present.T], rows)
    sections = (rows.astype("<i4").tobytes(), _pco(first, _AUTO), _pco(deltas, _AS_IT_IS))
    return _pack((len(timestamps), timestamps.shape[1]), sections)


def unpack_times(data: bytes) -> tuple[Ints, Ints]:
    """The time stamps [k, g] (0 in the rows a group does not have) and the rows of each group."""
    depth, columns, sections = _sections(data)
    rows = np.frombuffer(sections[0], "<i4").astype(np.int64)
    flat = np.zeros((columns, depth), np.int64)
    flat[np.arange(depth) < rows[:, None]] = _sums(_integers(sections[1]), _integers(sections[2]), rows)
    return np.ascontiguousarray(flat.T), rows


def pack_numbers(numbers: Ints | Codes) -> bytes:
    """A column of integers."""
    return _pco(np.asarray(numbers, np.int64), _AUTO)


def unpack_numbers(data: bytes) -> Ints:
    """The column that was packed."""
    return _integers(data)


def _is_integer(values: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        exact = (np.rint(values) == values) & (np.abs(values) <= _LARGEST_INTEGER)
    return np.asarray(exact & (values.view(np.uint64) != _MINUS_ZERO))


def _constant(columns: Floats, present: Bools, *, full: bool) -> Bools:
    """Which columns hold the same bits in every sample."""
    if not columns.shape[1]:
        return np.ones(len(columns), np.bool_)
    bits = columns.view(np.uint64)
    if full:
        return np.asarray((bits == bits[:, :1]).all(1))
    first = bits[np.arange(len(bits)), present.argmax(1)]
    return np.asarray(((bits == first[:, None]) | ~present).all(1))


def _taken(columns: Floats, present: Bools, *, full: bool) -> Floats:
    """The samples of some columns, one column after the other."""
    return np.asarray(columns.ravel() if full else columns[present])


def _differences(flat: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """First value of each non-empty column, and the steps after it (0 at the first)."""
    starts = (np.cumsum(counts) - counts)[counts > 0]
    deltas = np.diff(flat, prepend=0)
    deltas[starts] = 0
    return flat[starts], deltas


def _spread(deltas: Ints, changing: Bools) -> Ints:
    """The deltas of the columns that change among zeros for those that do not."""
    if changing.all():
        return deltas
    spread = np.zeros(len(changing), np.int64)
    spread[changing] = deltas
    return spread


def _sums(first: Ints, deltas: Ints, counts: Ints) -> Ints:
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    sums = np.cumsum(deltas)
    return np.asarray(sums + np.repeat(first - sums[starts], counts[filled]))


def _pack(shape: tuple[int, ...], sections: Sequence[bytes]) -> bytes:
    head = _HEAD.pack(_VERSION, shape[0], shape[1])
    return head + b"".join([_LENGTH.pack(len(section)) + section for section in sections])


def _sections(data: bytes) -> tuple[int, int, list[bytes]]:
    version, rows, columns = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise IntegrityError(f"a chunk has version {version}, this program reads {_VERSION}")
    sections = []
    at = _HEAD.size
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        sections.append(data[at : at + length])
        at += length
    return rows, columns, sections


def _bits(mask: Bools) -> bytes:
    """Bits in order; nothing at all when every bit is set."""
    return b"" if mask.all() else bytes(cramjam.snappy.compress_raw(np.packbits(mask.ravel()).tobytes()))


def _unbits(data: bytes, count: int) -> Bools:
    if not data:
        return np.ones(count, np.bool_)
    packed = np.frombuffer(bytes(cramjam.snappy.decompress_raw(data)), np.uint8)
    return np.unpackbits(packed, count=count).astype(np.bool_)


def _pco(numbers: Ints | Floats, config: ChunkConfig) -> bytes:
    return bytes(pco.simple_compress(np.ascontiguousarray(numbers), config)) if len(numbers) else b""


def _integers(data: bytes) -> Ints:
    return np.asarray(pco.simple_decompress(data), np.int64) if data else np.empty(0, np.int64)


def _floats(data: bytes) -> Floats:
    return np.asarray(pco.simple_decompress(data), np.float64) if data else np.empty(0, np.float64)

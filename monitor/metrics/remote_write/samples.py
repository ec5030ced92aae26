"""`Sample` messages read many at a time: values and time stamps by unaligned look-ups into the bytes.

A sample is `12 LEN [09 value] [10 time]`: a field of a series with a double and a varint, each left out when it is
zero. Nearly all are of two forms: FULL, 18 bytes with a value and a six-byte time (the years 1971 to 2109), and ZERO,
9 bytes without the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.metrics.interface import Bools, Floats, Ints
from monitor.metrics.remote_write.envelope import Bytes

FULL = 18
ZERO = 9
PADDING = bytes(24)  # What must follow the bytes that `read_samples` looks into.
Words = npt.NDArray[np.uint64]

# The last eight bytes of both forms: a byte that is no matter, the tag of the time, six bytes of time.
_TIME_MASK = np.uint64(0x80808080_8080FF00)
_TIME_WANT = np.uint64(0x00808080_80801000)
_HEAD_MASK = np.uint64(0x00FFFFFF)
_FULL_HEAD = np.uint64(0x00091012)
_ZERO_HEAD = np.uint64(0x00100712)
_LOW_SEVEN = np.uint64(0x7F7F7F7F_7F7F7F7F)
_HIGH_BITS = np.uint64(0x80808080_80808080)
_SIXTEEN = np.uint64(16)
# Pairs of neighbouring groups are joined, 7 bits to 14, 28 and 56: (lower groups, upper groups, how far apart).
_JOINS = (
    (np.uint64(0x007F007F_007F007F), np.uint64(0x7F007F00_7F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF_00003FFF), np.uint64(0x3FFF0000_3FFF0000), np.uint64(2)),
    (np.uint64(0x00000000_0FFFFFFF), np.uint64(0x0FFFFFFF_00000000), np.uint64(4)),
)
# Of a varint of 0 to 10 bytes: the bits that say "more follows" in its first eight bytes, and those bytes.
_MORE = np.array([sum(0x80 << 8 * at for at in range(min(n - 1, 8))) for n in range(11)], np.uint64)
_OWN = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(11)], np.uint64)


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples as columns; `form` tells the length of those of the two forms, 0 for others."""

    times: Ints
    values: Floats
    form: Ints


def window(data: Bytes, dtype: str) -> npt.NDArray[np.uint64]:
    """Every run of bytes of `data` as an item of a type: item i begins at byte i. A view, written through."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), dtype, buffer=data, strides=(1,))


def read_tails(data: Bytes, ends: Ints) -> Samples | None:
    """The samples that end at `ends` (each at least 19), None when one of them is of neither form.

    Only the look of the bytes is judged: whether a sample begins there its reader must know otherwise.
    """
    words = window(data, "<u8")
    stamps = words[ends - 8]
    if ((stamps & _TIME_MASK) != _TIME_WANT).any():
        return None
    full: Bools = (words[ends - FULL] & _HEAD_MASK) == _FULL_HEAD
    values = words[ends - 15]
    if not full.all():
        if not (full | ((words[ends - ZERO] & _HEAD_MASK) == _ZERO_HEAD)).all():
            return None
        values = np.where(full, values, np.uint64(0))
    return Samples(six_byte_times(stamps), values.view(np.float64), np.where(full, FULL, ZERO))


def read_samples(data: Bytes, at: Ints) -> Samples | None:
    """The samples at `at`, of any form a canonical writer gives them; None when one is of no such form.

    Whoever asks has seen to it that each sample lies within its series; `PADDING` follows them all.
    """
    length = data[at + 1].astype(np.int64)
    valued = (data[at + 2] == 0x09) & (length >= 9)
    start = at + 2 + 9 * valued
    left = length - 9 * valued
    timed = (left >= 2) & (left <= 11) & (data[np.minimum(start, len(data) - 1)] == 0x10)
    if not (timed | (left == 0)).all():
        return None
    size = np.maximum(left - 1, 0)
    words = window(data, "<u8")
    low = words[start + 1] & _OWN[size]
    last = data[start + 9].astype(np.uint64), data[start + 10].astype(np.uint64)
    if ((low & _HIGH_BITS) != _MORE[size]).any() or not _sound_ends(size, *last):
        return None
    times = _joined(low & _LOW_SEVEN)
    times |= np.where(size > 8, (last[0] & np.uint64(0x7F)) << np.uint64(56), np.uint64(0))
    times |= np.where(size > 9, last[1] << np.uint64(63), np.uint64(0))
    values = np.where(valued, words[at + 3], np.uint64(0))
    form = np.where(left == 7, np.where(valued, FULL, ZERO), 0)
    return Samples(times.view(np.int64), values.view(np.float64), form)


def _sound_ends(size: Ints, ninth: Words, tenth: Words) -> bool:
    """Whether varints of nine and ten bytes end where they should and stay within 64 bits."""
    more = (ninth & np.uint64(0x80)) != 0
    return not (((size == 9) & more) | ((size == 10) & (~more | (tenth > 1)))).any()


def six_byte_times(stamps: Words) -> Ints:
    """The times in words whose upper six bytes are a varint."""
    return np.asarray(_joined((stamps >> _SIXTEEN) & _LOW_SEVEN).view(np.int64))


def _joined(groups: Words) -> Words:
    """Eight groups of seven bits, one in each byte, as one number of 56 bits."""
    for low, high, apart in _JOINS:
        groups = (groups & low) | ((groups & high) >> apart)
    return groups

"""Remembered shapes of replies: octets that must not differ, and where the numbers are. Numpy over many replies.

A reply fits a layout when it has its length and every octet outside the request id and the numbers is the same. A
number is read from the two words around its eight last octets. Layout 0 fits nothing. Devices of one model often say
the very same but for their numbers: equal layouts are one, so that those of a city stay in the processor's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from collectors.datagrams import Words
from collectors.snmp.batch.shape import OCTETS, Shape
from collectors.snmp.ber import INTEGER
from monitor.metrics.arrays import Bools, Floats, Ints

REPLY_BYTES: Final = 1536  # one Ethernet frame's payload and some; a longer reply does not fit a layout
REPLY_WORDS: Final = REPLY_BYTES // 8
_MASK_WORDS: Final = REPLY_WORDS // 8  # a bit for each octet
NUMBERS: Final = 64  # at most so many numbers a reply
NO_LAYOUT: Final = 0
_KEY_OCTETS: Final = 16
_EIGHT = np.arange(1, 9)
_OCTETS: Final = np.array([OCTETS.get(tag, 0) for tag in range(256)])
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Layouts:
    """All layouts of a process. `fits` and `numbers` work on arrays of replies, `learn` and `forget` on single ones."""

    def __init__(self, capacity: int = 1024) -> None:
        self._free: list[int] = []
        self._made = 1
        self._same: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}
        self._users: dict[int, int] = {}
        self._masks: Words = np.zeros((capacity, _MASK_WORDS), np.uint64)
        self._octets: Words = np.zeros((capacity, REPLY_WORDS), np.uint64)
        self._lengths = np.full(capacity, -1, np.int32)
        self._word = np.zeros((capacity, NUMBERS), np.int32)
        self._bit = np.zeros((capacity, NUMBERS), np.uint8)
        self._narrow = np.zeros((capacity, NUMBERS), np.uint8)
        self._unsigned = np.zeros((capacity, NUMBERS), np.bool_)
        self._width = np.zeros(capacity, np.int32)

    def __len__(self) -> int:
        return self._made - 1 - len(self._free)

    def learn(self, shape: Shape, loose: Collection[int] = ()) -> int:
        """A layout for replies of this shape, or NO_LAYOUT when they are too long or have too many numbers. The values
        of the varbinds in `loose` may be anything of their length, and are no numbers. Forget it as often as learned.
        """
        data = shape.data
        tags = np.frombuffer(shape.tags, np.uint8)
        numeric = _OCTETS[tags] > 0
        numeric[list(loose)] = False
        ends = np.array(shape.ends)[numeric]
        sizes = ends - np.array(shape.starts)[numeric]
        sizes = np.minimum(sizes, _OCTETS[tags[numeric]])
        count = len(ends)
        if len(data) > REPLY_BYTES or count > NUMBERS or sizes.min(initial=1) < 1:
            return NO_LAYOUT
        mask = np.zeros(REPLY_BYTES, np.uint8)
        mask[: len(data)] = 0xFF
        mask[shape.request_id_at : shape.request_id_at + 4] = 0
        mask[(ends[:, None] - _EIGHT)[sizes[:, None] >= _EIGHT]] = 0
        for at in loose:
            mask[shape.starts[at] : shape.ends[at]] = 0
        octets = np.zeros(REPLY_BYTES, np.uint8)
        octets[: len(data)] = np.frombuffer(data, np.uint8)
        octets &= mask
        signed = tags[numeric] == INTEGER
        key = _key(mask, octets, ends, sizes, signed)
        number = self._same.get(key, NO_LAYOUT)
        if number == NO_LAYOUT:
            number = self._same[key] = self._free.pop() if self._free else self._next()
            self._keys[number] = key
            self._masks[number] = np.packbits(mask).view(np.uint64)
            self._octets[number] = octets.view(np.uint64)
            self._place(number, ends - 8, sizes, signed)
            self._lengths[number] = len(data)
        self._users[number] = self._users.get(number, 0) + 1
        return number

    def _place(self, number: int, begins: Ints, sizes: Ints, signed: Bools) -> None:
        """Where the numbers of a layout are: `sizes` octets that end eight behind `begins`."""
        count = len(begins)
        self._word[number, :count] = begins >> 3
        self._bit[number, :count] = (begins & 7) << 3
        self._narrow[number, :count] = 64 - 8 * sizes
        self._unsigned[number, :count] = ~signed
        self._width[number] = count

    def forget(self, numbers: Sequence[int]) -> None:
        """Give layouts back."""
        for number in numbers:
            if number == NO_LAYOUT:
                continue
            self._users[number] -= 1
            if not self._users[number]:
                del self._users[number], self._same[self._keys.pop(number)]
                self._lengths[number] = -1
                self._free.append(number)

    def fits(self, layouts: Ints, replies: Words, sizes: Ints) -> Bools:
        """Whether reply [i] (a row of REPLY_WORDS words, `sizes` [i] octets of it filled) has layout [i]."""
        differ = self._octets.take(layouts, 0)
        np.bitwise_xor(differ, replies, out=differ)
        changed = np.packbits(differ.view(np.uint8), axis=1).view(np.uint64)
        changed &= self._masks.take(layouts, 0)
        same = np.bitwise_or.reduce(changed, 1) == 0
        same &= self._lengths.take(layouts) == sizes
        return np.asarray(same)

    def numbers(self, layouts: Ints, replies: Words, rows: Ints) -> Floats:
        """The numbers [i, :] of reply rows [i] with layout [i]; behind a layout's own numbers there is rubbish."""
        width = int(self._width.take(layouts).max(initial=0))
        flat = replies.reshape(-1)
        word = self._word.take(layouts, 0)[:, :width].astype(np.int64)
        word += (rows * REPLY_WORDS)[:, None]
        bit = self._bit.take(layouts, 0)[:, :width].astype(np.uint64)
        low = flat.take(word, mode="clip")
        word += 1
        high = flat.take(word, mode="clip")
        low >>= bit
        np.subtract(np.uint64(64), bit, out=bit)
        high <<= bit  # numpy shifts by 64 to nothing
        low |= high
        low.byteswap(True)
        narrow = self._narrow.take(layouts, 0)[:, :width]
        low <<= narrow
        signed = low.view(np.int64)
        signed >>= narrow
        found = signed.astype(np.float64)
        negative = signed < 0
        if negative.any():
            negative &= self._unsigned.take(layouts, 0)[:, :width]
            wide = low & (_ALL >> narrow)
            np.copyto(found, wide.astype(np.float64), where=negative)
        return found

    def _next(self) -> int:
        if self._made == len(self._lengths):
            self._grow()
        self._made += 1
        return self._made - 1

    def _grow(self) -> None:
        for name in ("_masks", "_octets", "_lengths", "_word", "_bit", "_narrow", "_unsigned", "_width"):
            array = getattr(self, name)
            longer = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
            longer[: len(array)] = array
            setattr(self, name, longer)
        self._lengths[self._made :] = -1


def _key(*parts: npt.NDArray[np.generic]) -> bytes:
    """Equal for equal layouts only."""
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=_KEY_OCTETS).digest()

"""Requests whose layout repeats: the same bytes as before but for values and time stamps.

A poller sends the same series in the same order every minute. Of such a request it is enough to gather values and
times from where they were the last time, once it is clear that nothing else has changed: the message with those bytes
set to zero must have the authentication code (Poly1305 under a random key of this process) it had before. A sender
cannot make two layouts collide but by guessing the key, and a template needs no copy of the label bytes: some 20
bytes a series are kept.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.poly1305 import Poly1305

from monitor.metrics.interface import Codes, Floats, Ints, Labels, SampleBlock
from monitor.metrics.remote_write.envelope import Bytes, Version
from monitor.metrics.remote_write.samples import FULL, ZERO, Words, six_byte_times, window

_FIXED_BYTES = 600
_HEAD_BYTES = 1 << 14
_CANDIDATES = 4
_FULL_KEPT = bytes.fromhex("ffffff 0000000000000000 ff 808080808080")
_ZERO_KEPT = bytes.fromhex("ffffff 808080808080")
Places = npt.NDArray[np.int32]
Key = tuple[Version, int, bytes]


@dataclass(frozen=True, slots=True)
class Template:
    """One layout: where its samples are, the code of all its other bytes, and what its samples belong to.

    `full` and `zero` [n] are the offsets of the samples of the two forms; `order` puts the samples back in order
    when there are both.
    """

    full: Places
    zero: Places
    order: Places | None
    code: bytes
    labels: tuple[Labels, ...]
    series: Codes

    @property
    def size(self) -> int:
        """Bytes of memory, but for the label sets themselves."""
        arrays = self.full.nbytes + self.zero.nbytes + self.series.nbytes
        return arrays + (self.order.nbytes if self.order is not None else 0) + 8 * len(self.labels)


class TemplateCache:
    """The layouts seen last, within `max_bytes`. Safe to use from several threads."""

    __slots__ = ("_key", "_lock", "_max_bytes", "_room", "_templates")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._templates: OrderedDict[Key, tuple[Template, ...]] = OrderedDict()

    def find(self, version: Version, data: Bytes) -> SampleBlock | None:
        """The samples of a message of a known layout; `labels` is the same object every time. Leaves `data` alone."""
        key = _key_of(version, data)
        with self._lock:
            candidates = self._templates.get(key, ())
            if candidates:
                self._templates.move_to_end(key)
        for template in candidates:
            block = self._read(template, data)
            if block is not None:
                return block
        return None

    def _read(self, template: Template, data: Bytes) -> SampleBlock | None:
        """The samples, when the message is of this layout."""
        fulls, zeros = _taken(data, template.full, FULL), _taken(data, template.zero, ZERO)
        _put(data, template.full, FULL, _kept(fulls, _FULL_KEPT))
        _put(data, template.zero, ZERO, _kept(zeros, _ZERO_KEPT))
        same = Poly1305.generate_tag(self._key, data.data) == template.code
        _put(data, template.full, FULL, fulls)
        _put(data, template.zero, ZERO, zeros)
        if not same:
            return None
        times = six_byte_times(_word(fulls, FULL, 10))
        values: Floats = _word(fulls, FULL, 3).view(np.float64)
        if template.order is not None:
            times = np.concatenate([times, six_byte_times(_word(zeros, ZERO, 1))])[template.order]
            values = np.concatenate([values, np.zeros(len(template.zero))])[template.order]
        return SampleBlock(template.labels, template.series, times, values)

    def keep(self, version: Version, data: Bytes, at: Ints, form: Ints, block: SampleBlock) -> None:
        """Remember the layout of a message that was read: `at` and `form` say where its samples are."""
        is_zero = form == ZERO
        full, zero = at[~is_zero].astype(np.int32), at[is_zero].astype(np.int32)
        mixed = np.concatenate([np.flatnonzero(~is_zero), np.flatnonzero(is_zero)])
        order = np.argsort(mixed).astype(np.int32) if len(zero) else None
        blank = data.copy()
        _put(blank, full, FULL, _kept(_taken(blank, full, FULL), _FULL_KEPT))
        _put(blank, zero, ZERO, _kept(_taken(blank, zero, ZERO), _ZERO_KEPT))
        code = Poly1305.generate_tag(self._key, blank.data)
        labels = block.labels if isinstance(block.labels, tuple) else tuple(block.labels)
        self._add(_key_of(version, data), Template(full, zero, order, code, labels, block.series))

    def _add(self, key: Key, template: Template) -> None:
        with self._lock:
            others = self._templates.get(key, ())
            self._templates[key] = (template, *others[: _CANDIDATES - 1])
            self._templates.move_to_end(key)
            self._room -= _FIXED_BYTES + template.size
            self._room += sum(_FIXED_BYTES + gone.size for gone in others[_CANDIDATES - 1 :])
            while self._room < 0 and self._templates:
                _, dropped = self._templates.popitem(last=False)
                self._room += sum(_FIXED_BYTES + gone.size for gone in dropped)

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._max_bytes - self._room


def _key_of(version: Version, data: Bytes) -> Key:
    """Length and first unchanging bytes of a message: the labels of the first series, or the symbols."""
    head = data[:_HEAD_BYTES].tobytes()
    return version, len(data), head[: _static_end(version, head)]


def _static_end(version: Version, head: bytes) -> int:
    here, size = 0, len(head)
    if version is Version.V1:
        here = 1
        while here < size and head[here] > 0x7F:
            here += 1
        here += 1
    tag = 0x0A if version is Version.V1 else 0x22
    while here + 2 < size and head[here] == tag:
        length = head[here + 1]
        if length > 0x7F:
            length = length & 0x7F | head[here + 2] << 7
            here += 1
        here += 2 + length
    return here if here <= size else 0


def _taken(data: Bytes, at: Places, size: int) -> Bytes:
    """The bytes of the samples at some offsets, one after the other."""
    if not len(at):
        return np.empty(0, np.uint8)
    return window(data, f"V{size}")[at].view(np.uint8)


def _put(data: Bytes, at: Places, size: int, samples: Bytes) -> None:
    if len(at):
        window(data, f"V{size}")[at] = samples.view(f"V{size}")


def _kept(samples: Bytes, mask: bytes) -> Bytes:
    """Samples without their values and times, but with the bits that tell how long a time is."""
    return samples & np.frombuffer(mask * (len(samples) // len(mask)), np.uint8)


def _word(samples: Bytes, size: int, offset: int) -> Words:
    """Eight bytes of each sample as a number."""
    count = len(samples) // size
    if not count:
        return np.empty(0, np.uint64)
    strided: Words = np.ndarray((count,), "<u8", buffer=samples, offset=offset, strides=(size,))
    return strided.copy()

"""Received label sets: raw label bytes are the key to a series, parsed and checked when they come for the first time.

Every request names the same series in the same bytes, so that a 64-bit hash of them (Python's SipHash, keyed anew in
every process) is all that is kept beside the label set: at a million series the chance that two ever share one is
below 1 in 10 million. Label pairs are shared between label sets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from google.protobuf.message import DecodeError

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.interface import Labels
from monitor.metrics.protocol import remote_write_pb2 as v1

Pair = tuple[str, str]
_ENTRY_BYTES = 200
_LARGEST_KEPT = 1 << 14
_EXAMPLE_CHARS = 300


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a received label set cannot name a series; `example` shows it."""

    reason: str
    example: str


class LabelTable:
    """Label sets by their raw bytes: the same object for the same bytes while it is remembered.

    Safe to use from several threads; `max_bytes` bounds what is remembered.
    """

    __slots__ = ("_known", "_pairs")

    def __init__(self, max_bytes: int) -> None:
        self._known: BoundedCache[int, Labels | Flaw] = BoundedCache(max_bytes // 2, _entry_cost)
        self._pairs: BoundedCache[bytes, Pair] = BoundedCache(max_bytes // 2, _pair_cost)

    @property
    def size(self) -> int:
        """Bytes in use, about."""
        return self._known.size + self._pairs.size

    def find(self, keys: list[bytes]) -> list[Labels | Flaw] | None:
        """The label set of each key, None when one of the keys is something else than the label fields of a series.

        A key is the beginning of a serialised series, by the look of it up to its samples.
        """
        hashes = list(map(hash, keys))
        found = list(map(self._known.young.get, hashes))
        if not all(found):
            for at in [at for at, label_set in enumerate(found) if label_set is None]:
                try:
                    found[at] = self._known.get(hashes[at]) or self._learn(keys[at])
                except DecodeError:
                    return None
                if found[at] is None:
                    return None
        return cast(list[Labels | Flaw], found)

    def named(self, raws: Iterable[bytes]) -> Labels | Flaw:
        """The label set made of raw `Label` messages. Raises DecodeError."""
        key = b"".join([b"\x0a" + varint(len(raw)) + raw for raw in raws])
        known = self._known.get(hash(key)) or self._learn(key)
        assert known is not None
        return known

    def _learn(self, key: bytes) -> Labels | Flaw | None:
        series = v1.TimeSeries.FromString(key)
        if series.samples or series.exemplars or series.histograms:
            return None
        label_set = checked([self._pair(raw) for raw in series.labels])
        if len(key) <= _LARGEST_KEPT:
            self._known.put(hash(key), label_set)
        return label_set

    def _pair(self, raw: bytes) -> Pair:
        pair = self._pairs.get(raw)
        if pair is None:
            label = v1.Label.FromString(raw)
            pair = (sys.intern(label.name), label.value)
            if len(raw) <= _LARGEST_KEPT:
                self._pairs.put(raw, pair)
        return pair


def _entry_cost(_key: int, label_set: Labels | Flaw) -> int:
    return _ENTRY_BYTES + (8 * len(label_set) if isinstance(label_set, tuple) else _EXAMPLE_CHARS)


def _pair_cost(raw: bytes, _pair: Pair) -> int:
    return _ENTRY_BYTES + 2 * len(raw)


def checked(pairs: list[Pair]) -> Labels | Flaw:
    """A received label set, canonical (sorted, empty values dropped) or flawed.

    Names must be unique and not empty, and there must be a metric name. Senders should sort, but not all do, and
    Prometheus does not mind either.
    """
    names = [name for name, _ in pairs]
    if "" in names:
        return Flaw("empty_label_name", shown(pairs))
    if len(set(names)) != len(names):
        return Flaw("duplicate_label", shown(pairs))
    labels = tuple(sorted([pair for pair in pairs if pair[1]]))
    if not any(name == "__name__" for name, _ in labels):
        return Flaw("no_metric_name", shown(pairs))
    return labels


def shown(pairs: Iterable[Pair]) -> str:
    """A label set as Prometheus writes it, cut when it is long."""
    text = ""
    metric = ""
    for name, value in pairs:
        if len(text) > _EXAMPLE_CHARS:
            break
        if name == "__name__" and not metric:
            metric = value[:_EXAMPLE_CHARS]
        else:
            text += f"{', ' if text else ''}{name[:_EXAMPLE_CHARS]}={_quoted(value[:_EXAMPLE_CHARS])}"
    whole = f"{metric}{{{text}}}" if text else metric or "{}"
    return whole if len(whole) <= _EXAMPLE_CHARS else whole[: _EXAMPLE_CHARS - 1] + "…"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def varint(number: int) -> bytes:
    """A protobuf varint."""
    raw = b""
    while number > 0x7F:
        raw += bytes([number & 0x7F | 0x80])
        number >>= 7
    return raw + bytes([number])

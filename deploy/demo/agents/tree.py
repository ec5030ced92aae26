"""A device's objects at one moment, answered in OID order."""

from __future__ import annotations

import bisect
import zlib
from typing import Final

from collectors.snmp.ber import (
    COUNTER32,
    COUNTER64,
    GAUGE32,
    INTEGER,
    OBJECT_ID,
    OCTET_STRING,
    TIME_TICKS,
    encode_oid,
)

Row = tuple[tuple[int, ...], int, int | bytes]
INT: Final = INTEGER
STR: Final = OCTET_STRING
GAUGE: Final = GAUGE32
C32: Final = COUNTER32
C64: Final = COUNTER64
TICKS: Final = TIME_TICKS


def oid(text: str) -> tuple[int, ...]:
    """A dotted OID as integers."""
    return tuple(int(part) for part in text.split("."))


def seed(text: str) -> int:
    """A stable number for a name."""
    return zlib.crc32(text.encode())


def object_id(text: str) -> bytes:
    """The content octets of an OID value."""
    return encode_oid(text)


OBJECT: Final = OBJECT_ID


class Tree:
    """Rows sorted by OID; get and next in logarithmic time."""

    __slots__ = ("_keys", "_rows")

    def __init__(self, rows: list[Row]) -> None:
        self._rows = sorted(rows)
        self._keys = [row[0] for row in self._rows]

    def get(self, key: tuple[int, ...]) -> Row | None:
        """The object with exactly this OID."""
        at = bisect.bisect_left(self._keys, key)
        return self._rows[at] if at < len(self._keys) and self._keys[at] == key else None

    def after(self, key: tuple[int, ...]) -> Row | None:
        """The first object beyond this OID."""
        at = bisect.bisect_right(self._keys, key)
        return self._rows[at] if at < len(self._rows) else None

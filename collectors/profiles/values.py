"""SNMP values as agents really send them, as text and as numbers. Pure."""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import Final

from collectors.snmp.ber import IP_ADDRESS, OBJECT_ID, OPAQUE, Typed, dotted

# Unit behind a number -> what it counts, in the base unit (bytes, bits per second, volts, amperes, watts).
_UNITS: Final[dict[str, float]] = {
    **dict.fromkeys(
        ("", "%", "C", "°C", "V", "A", "W", "RPM", "rpm", "dBm", "Hz", "B", "Bytes", "bytes", "bps"), 1
    ),
    **dict.fromkeys(("s", "sec", "degrees C"), 1),
    **dict.fromkeys(("k", "K", "kB", "KB", "KiB", "Kb"), 1 << 10),
    **dict.fromkeys(("M", "MB", "MiB", "Mb"), 1 << 20),
    **dict.fromkeys(("G", "GB", "GiB", "Gb"), 1 << 30),
    **dict.fromkeys(("T", "TB", "TiB", "Tb"), 1 << 40),
    **dict.fromkeys(("mV", "mA", "mW"), 0.001),
    **dict.fromkeys(("kW", "kHz", "kbps", "Kbps"), 1e3),
    **dict.fromkeys(("MHz", "Mbps"), 1e6),
    "Gbps": 1e9,
}
EXACT: Final = 1 << 53  # a float tells all whole numbers below it apart
_WHOLE: Final = 6  # octets that are whole characters before a cut one: fewer are more likely no text
_LONG: Final = (
    16  # octets of a text that tell that it is one although some of them, at most so large a part, do not
)
_STRAY: Final = 0.1
_NO_ASCII: Final = re.compile(rb"[^\x20-\x7e\r\n\t]")
_NUMBER: Final = re.compile(r'[\s"]*([-+]?\d+(?:\.\d+)?)\s*(%|°?[A-Za-z]{1,5}|degrees C)?[\s"]*')


def text_of(typed: Typed) -> str:
    """Printable text: NULs and blanks trimmed, UTF-8 or GB 18030; in a long text of ASCII a stray octet becomes U+FFFD;
    octets that are no text as hex pairs.
    """
    tag, value = typed
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if tag == OBJECT_ID:
        return dotted(value)
    if tag == IP_ADDRESS:
        return ".".join(map(str, value))
    return _octets_text(value)


@lru_cache(maxsize=1 << 14)
def _octets_text(value: bytes) -> str:
    octets = value.strip(b"\0 \t\r\n")
    for encoding in ("utf-8", "gb18030"):
        try:
            text = octets.decode(encoding)
        except UnicodeDecodeError as error:
            # Agents cut texts at a number of octets, in the middle of a character if need be.
            if error.start < _WHOLE or error.end < len(octets):
                continue
            text = octets[: error.start].decode(encoding)
        if text.isprintable() or all(character.isprintable() or character in "\r\n\t" for character in text):
            return text
    if len(octets) >= _LONG and len(_NO_ASCII.findall(octets)) <= len(octets) * _STRAY:
        return _NO_ASCII.sub(b"\xff", octets).decode("utf-8", "replace")
    return octets.hex(":")


def number_of(typed: Typed) -> float | None:
    """A number: integers, net-snmp's Opaque floats, and text that is a number with at most a unit behind it.

    Prefixed units give base units: `44292kB` is 45355008 (bytes), `63kbps` 63000, `3.3 mV` 0.0033.
    """
    tag, value = typed
    if isinstance(value, int):
        return value
    if not value:
        return None
    if tag == OPAQUE and len(value) == 7 and value[:3] == b"\x9f\x78\x04":
        return float(struct.unpack(">f", value[3:])[0])
    if tag in {OBJECT_ID, IP_ADDRESS}:
        return None
    found = _NUMBER.fullmatch(value.strip(b"\0").decode("latin-1"))
    factor = _UNITS.get(found.group(2) or "") if found else None
    return None if found is None or factor is None else float(found.group(1)) * factor


def mac_of(text: str, octets: bytes | None) -> str | None:
    """`aa:bb:cc:dd:ee:ff`, or None when the address is absent or all zero."""
    if octets is None or len(octets) != 6 or not any(octets):
        return text if re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", text) else None
    return octets.hex(":")

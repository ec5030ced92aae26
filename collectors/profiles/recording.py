"""Recorded walks as varbinds: snmprec lines, and the text of net-snmp's `snmpwalk -On` and `-OnQ` (also `-Onq`). Pure.

A text walk without types (-Q, -q) is read by what the values look like: numbers become integers (or counters when
they are too large), `d:h:mm:ss.ss` ticks, quoted pairs of hex digits octets. OIDs must be numbers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collectors.snmp import ber
from collectors.snmp.ber import Typed, VarBind, decode_oid, encode_oid
from monitor.errors import InputError

MAX_BYTES: Final = 64 << 20
_LINE: Final = re.compile(r"\.?((?:\d+\.)+\d+)(?: = ?| )(.*)", re.DOTALL)
_TYPED: Final = re.compile(
    r"(?:Wrong Type \(should be [^)]*\): )?([A-Za-z][A-Za-z0-9 -]*?): ?(.*)", re.DOTALL
)
_EMPTY: Final = re.compile(r"No Such (?:Object|Instance)|No more variables|NULL$")
_TICKS: Final = re.compile(r"(\d+):(\d{1,2}):(\d{2}):(\d{2})\.(\d{2})")
_ENUM: Final = re.compile(r"[A-Za-z][\w-]*\((-?\d+)\)")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}\s+)*[0-9A-Fa-f]{2}\s*")
_QUOTED_HEX: Final = re.compile(r"(?:[0-9A-F]{2} )+\s*(?:(?:[0-9A-F]{2} )+\s*)*")
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_OID: Final = re.compile(r"\.(?:\d+\.)+\d+")
_NUMBERS: Final = {
    "INTEGER": ber.INTEGER,
    "Integer32": ber.INTEGER,
    "Counter32": ber.COUNTER32,
    "Gauge32": ber.GAUGE32,
    "Unsigned32": ber.GAUGE32,
    "UInteger32": ber.UINTEGER32,
    "Counter64": ber.COUNTER64,
}
_FLOAT_TAG: Final = b"\x9f\x78\x04"
_DOUBLE_TAG: Final = b"\x9f\x79\x08"
_INT_MAX: Final = 2**31 - 1
_UINT_MAX: Final = 2**32 - 1
_COUNTER_MAX: Final = 2**64 - 1
_OCTET_MAX: Final = 255
_BAD_PART: Final = 10  # a file with more than a tenth of lines that are not understood is no walk


@dataclass(frozen=True, slots=True)
class Recording:
    """A walk in OID order. `skipped` lines hold no value: ends of a walk, snmpsim's variation modules.

    `problems` are lines that are not understood, such as OIDs somebody has masked.
    """

    varbinds: tuple[VarBind, ...]
    skipped: int = 0
    problems: tuple[InputError, ...] = ()


def read_recording(path: Path) -> Recording:
    """A walk file by its content. Raises InputError with file:line when it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot be read: {reason}", where=str(path), zh=f"{path}：无法读取该文件"
        ) from error
    if len(data) > MAX_BYTES:
        raise InputError("a walk is at most 64 MiB", where=str(path), zh=f"{path}：文件过大，上限 64 MiB")
    return parse_recording(data.decode("utf-8", "surrogateescape"), str(path))


def parse_recording(text: str, file: str) -> Recording:
    """As read_recording, from text; octets that are no UTF-8 as surrogate escapes."""
    lines = _lines(text)
    first = next((line for line in lines if line and not line.startswith("#")), "")
    snmprec = re.match(r"\.?[\d.]+\|", first) is not None
    found: dict[bytes, VarBind] = {}
    skipped = 0
    problems: list[InputError] = []
    for number, entry in _numbered(lines) if snmprec else _entries(lines):
        try:
            varbind = _snmprec(entry) if snmprec else _walked(entry)
        except (ValueError, InputError) as error:
            reason = error.message if isinstance(error, InputError) else str(error)
            where = f"{file}:{number}"
            message = f"not a line of a walk: {reason}"
            hint = "record with `snmpwalk -On` (numeric OIDs), or as snmprec"
            zh = f"{where}：不是可识别的 walk 记录：{reason}；请用 snmpwalk -On 或 snmprec 格式录制"
            problems.append(InputError(message, where=where, hint=hint, zh=zh))
            continue
        if varbind is None:
            skipped += 1
        else:
            found[varbind[0]] = varbind
    if len(problems) * _BAD_PART > len(found) + len(problems):
        raise problems[0]
    if not found:
        raise InputError("no values in this walk", where=file, zh=f"{file}：其中没有任何数据")
    ordered = sorted(found.values(), key=lambda varbind: decode_oid(varbind[0]))
    return Recording(tuple(ordered), skipped, tuple(problems))


def format_snmprec(varbinds: Iterable[VarBind]) -> str:
    """Varbinds as snmprec lines; texts that are plain ASCII stay readable."""
    return "".join(f"{ber.dotted(oid)}|{_snmprec_value((tag, value))}\n" for oid, tag, value in varbinds)


def _snmprec_value(typed: Typed) -> str:
    tag, value = typed
    if isinstance(value, int):
        return f"{tag}|{value}"
    if tag == ber.OBJECT_ID:
        return f"{tag}|{ber.dotted(value or b'')}"
    if tag == ber.IP_ADDRESS and value:
        return f"{tag}|{'.'.join(map(str, value))}"
    octets = value or b""
    if octets.isascii() and octets.decode("ascii").isprintable():
        return f"{tag}|{octets.decode('ascii')}"
    return f"{tag}x|{octets.hex()}"


def _lines(text: str) -> list[str]:
    """Only line feeds end a line: texts may hold other separators."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def _numbered(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _entries(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines that begin with an OID, each with those that go on with its value."""
    start, parts = 0, list[str]()
    for number, line in enumerate(lines, 1):
        inside = bool(parts) and _open_quote(parts)
        if not inside and (line.startswith("#") or (not line.strip() and not parts)):
            continue
        if not inside and _LINE.match(line) and line.lstrip(".")[:2] in {"0.", "1.", "2."}:
            if parts:
                yield start, "\n".join(parts)
            start, parts = number, [line]
        elif parts:
            parts.append(line)
        else:
            start, parts = number, [line]
    if parts:
        yield start, "\n".join(parts)


def _open_quote(parts: list[str]) -> bool:
    """Whether a quoted text has begun in these lines and not ended."""
    text = "\n".join(parts)
    begin = re.match(r'\.?[\d.]+(?: = ?| )(?:[A-Za-z][A-Za-z0-9 -]*: )?"', text)
    if begin is None:
        return False
    rest = re.sub(r"\\.", "", text[begin.end() :], flags=re.DOTALL)
    return '"' not in rest


def _walked(entry: str) -> VarBind | None:
    match = _LINE.fullmatch(entry)
    if match is None:
        raise ValueError("expected `.1.3.6... = value`")
    oid, text = encode_oid(match[1]), match[2]
    if _EMPTY.match(text.strip()):
        return None
    typed = _TYPED.fullmatch(text) if not text.startswith('"') else None
    tag, value = _guess(text) if typed is None else _of_type(typed[1], typed[2])
    return oid, tag, value


def _of_type(kind: str, text: str) -> Typed:
    stripped = text.strip()
    if kind in _NUMBERS:
        return _checked(_NUMBERS[kind], _whole(stripped))
    if kind == "Timeticks":
        bracket = re.match(r"\((\d+)\)", stripped)
        return _checked(ber.TIME_TICKS, int(bracket[1]) if bracket else _ticks(stripped))
    if kind == "STRING":
        return ber.OCTET_STRING, _unquoted(text.rstrip("\n"))
    if kind in {"Hex-STRING", "BITS"}:
        return ber.OCTET_STRING, _octets(stripped)
    if kind == "OID":
        return ber.OBJECT_ID, _object_id(stripped)
    if kind in {"IpAddress", "Network Address"}:
        return ber.IP_ADDRESS, _address(stripped)
    if kind == "Opaque":
        return _opaque(stripped)
    return ber.OCTET_STRING, _octets_of(f"{kind}: {text}".rstrip("\n"))  # an unquoted text with a colon in it


def _guess(text: str) -> Typed:
    """A value without its type."""
    stripped = text.strip()
    if text.startswith('"'):
        octets = _unquoted(text.rstrip("\n"))
        shown = octets.decode("ascii", "replace")
        return ber.OCTET_STRING, _octets(shown) if _QUOTED_HEX.fullmatch(shown) else octets
    if re.fullmatch(r"-?\d+", stripped):
        number = int(stripped)
        if -_INT_MAX - 1 <= number <= _INT_MAX:
            return ber.INTEGER, number
        return _checked(ber.GAUGE32 if 0 <= number <= _UINT_MAX else ber.COUNTER64, number)
    if _OID.fullmatch(stripped):
        return ber.OBJECT_ID, _object_id(stripped)
    if _ADDRESS.fullmatch(stripped):
        return ber.IP_ADDRESS, _address(stripped)
    if _TICKS.fullmatch(stripped):
        return _checked(ber.TIME_TICKS, _ticks(stripped))
    if (enum := _ENUM.fullmatch(stripped)) is not None:
        return _checked(ber.INTEGER, int(enum[1]))
    if re.fullmatch(r"-?\d+\.\d+", stripped):
        return ber.OPAQUE, _FLOAT_TAG + struct.pack(">f", float(stripped))
    return ber.OCTET_STRING, _octets_of(text.rstrip("\n"))


def _whole(text: str) -> int:
    """`5`, `up(1)`, or a number with the unit a MIB gives it (`1024 kB`)."""
    if (enum := _ENUM.match(text)) is not None:
        return int(enum[1])
    number = re.match(r"-?\d+(?=$|\s)", text)
    if number is None:
        raise ValueError(f"{text!r} is not a number")
    return int(number.group())


def _checked(tag: int, number: int) -> Typed:
    low, high = (0, _UINT_MAX)
    if tag == ber.INTEGER:
        low, high = -_INT_MAX - 1, _INT_MAX
    elif tag == ber.COUNTER64:
        high = _COUNTER_MAX
    if not low <= number <= high:
        raise ValueError(f"{number} does not fit its type")
    return tag, number


def _ticks(text: str) -> int:
    match = _TICKS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    days, hours, minutes, seconds, hundredths = map(int, match.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 100 + hundredths


def _unquoted(text: str) -> bytes:
    """The octets of a quoted text (`\\"` and `\\\\` undone), or of one without quotes."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _octets_of(re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL))
    return _octets_of(text)


def _octets_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _octets(text: str) -> bytes:
    """Pairs of hex digits; what stands behind them (the text net-snmp adds, names of bits) is left out."""
    match = _HEX.match(text)
    if match is None:
        if not text:
            return b""
        raise ValueError(f"{text[:40]!r} is not hex")
    return bytes.fromhex("".join(match.group().split()))


def _object_id(text: str) -> bytes:
    return encode_oid(text.replace("iso.", "1.").replace("ccitt.", "0."))


def _address(text: str) -> bytes:
    parts = text.split(".") if "." in text else [str(int(part, 16)) for part in text.split(":")]
    numbers = [int(part) for part in parts]
    if len(numbers) != 4 or max(numbers) > _OCTET_MAX or min(numbers) < 0:
        raise ValueError(f"{text!r} is not an address")
    return bytes(numbers)


def _opaque(text: str) -> Typed:
    kind, _, value = text.partition(": ")
    if kind == "Float":
        return ber.OPAQUE, _FLOAT_TAG + struct.pack(">f", float(value.split()[0]))
    if kind == "Double":
        return ber.OPAQUE, _DOUBLE_TAG + struct.pack(">d", float(value.split()[0]))
    return ber.OPAQUE, _octets(text)


def _snmprec(line: str) -> VarBind | None:
    parts = line.split("|", 2)
    if len(parts) != 3:
        raise ValueError("expected OID|tag|value")
    name, kind, text = parts
    if ":" in kind:
        return None  # a variation module of snmpsim: no value of its own
    match = re.fullmatch(r"(\d+)([xe]?)", kind)
    if match is None:
        raise ValueError(f"{kind!r} is not a tag")
    oid, tag = encode_oid(name), int(match[1])
    if tag in ber.EMPTY:
        return None
    if match[2] == "x":
        value: ber.Value = _unhex(tag, text)
    elif tag in ber.NUMERIC:
        return oid, *_checked(tag, int(text))
    elif tag == ber.OBJECT_ID:
        value = encode_oid(text)
    elif tag == ber.IP_ADDRESS:
        value = _address(text)
    elif tag in ber.STRINGS:
        value = _octets_of(text)
    else:
        raise ValueError(f"tag {tag} is not known")
    return oid, tag, value


def _unhex(tag: int, text: str) -> ber.Value:
    octets = bytes.fromhex(text)
    return ber.decode_value(tag, octets) if tag in ber.NUMERIC else octets

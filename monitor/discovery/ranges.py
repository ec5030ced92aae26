"""Address ranges as people write them: 10.1.0.0/20, 10.1.2.3-10.1.2.50, 10.1.2.3-50, 10.1.2.3; IPv6 alike. Pure."""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from monitor.errors import InputError

MAX_ADDRESSES: Final = 1 << 16  # a /16: at 50 packets a second a scan of it still ends within hours
MAX_RANGES: Final = 64
_SEPARATORS: Final = re.compile(r"[\s,;，；、]+")  # with those of a Chinese keyboard
_POINT_TO_POINT: Final = 2  # a /31 or /127 has no network and broadcast address
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive addresses of one family, both ends included, as numbers."""

    family: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """Addresses in order, each once, never more than MAX_ADDRESSES."""

    blocks: tuple[Block, ...]

    @property
    def count(self) -> int:
        """How many addresses."""
        return sum(block.last - block.first + 1 for block in self.blocks)

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks:
            make = ipaddress.IPv4Address if block.family == 4 else ipaddress.IPv6Address
            for number in range(block.first, block.last + 1):
                yield str(make(number))

    def __contains__(self, text: object) -> bool:
        try:
            address = ipaddress.ip_address(str(text))
        except ValueError:
            return False
        key = (address.version, int(address))
        at = bisect_right([(block.family, block.first) for block in self.blocks], key) - 1
        return at >= 0 and self.blocks[at].family == address.version and key[1] <= self.blocks[at].last


def split_ranges(text: str) -> list[str]:
    """The parts of a text that lists ranges, however they are separated."""
    return [part for part in _SEPARATORS.split(re.sub(r"\s*[-–~]\s*", "-", text.strip())) if part]


def parse_ranges(parts: Iterable[str]) -> Ranges:
    """The addresses of all parts together. InputError names the part that is wrong, or too much."""
    blocks: list[Block] = []
    for number, part in enumerate(parts, 1):
        if number > MAX_RANGES:
            raise InputError(
                f"more than {MAX_RANGES} ranges",
                hint="join neighbouring ranges or scan in several turns",
                zh=f"网段超过 {MAX_RANGES} 个，请合并相邻网段或分次扫描",
            )
        blocks.append(_block(part.strip()))
    if not blocks:
        raise InputError(
            "no range given", hint="for example 10.1.0.0/24", zh="没有给出网段，例如 10.1.0.0/24"
        )
    ranges = Ranges(tuple(_merged(blocks)))
    if ranges.count > MAX_ADDRESSES:
        raise _too_many("", ranges.count)
    return ranges


def _block(part: str) -> Block:
    if len(part) > 100:
        raise _wrong(part[:40])
    first, dash, last = part.partition("-")
    if dash:
        start, end = _address(first, part), _end(first, last, part)
        if start.version != end.version or int(end) < int(start):
            raise InputError(
                f"{part} does not run upwards within one family",
                zh=f"{part} 的终点须大于起点，且同为 IPv4 或 IPv6",
            )
        block = Block(start.version, int(start), int(end))
    elif "/" in part:
        block = _network(part)
    else:
        address = _address(part, part)
        block = Block(address.version, int(address), int(address))
    if block.last - block.first >= MAX_ADDRESSES:
        raise _too_many(part, block.last - block.first + 1)
    _refuse_special(block, part)
    return block


def _network(part: str) -> Block:
    try:
        network = ipaddress.ip_network(part, strict=False)
    except ValueError:
        raise _wrong(part) from None
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.num_addresses > _POINT_TO_POINT:
        # The network's own and the broadcast address are nobody's: a request to the latter would reach everybody.
        first, last = first + 1, last - 1
    return Block(network.version, first, last)


def _address(text: str, part: str) -> _Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _wrong(part) from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise _wrong(part)
    return address


def _end(first: str, last: str, part: str) -> _Address:
    """The end of `a-b`; `b` may be the last number of a dotted address alone."""
    if "." in first and last.isascii() and last.isdigit() and len(last) <= 3:
        last = f"{first.rpartition('.')[0]}.{int(last)}"
    return _address(last, part)


def _refuse_special(block: Block, part: str) -> None:
    make = ipaddress.IPv4Address if block.family == 4 else ipaddress.IPv6Address
    for address in (make(block.first), make(block.last)):
        nowhere = address.version == 4 and (int(address) >> 24 == 0 or address.is_reserved)
        if address.is_multicast or address.is_unspecified or nowhere:
            raise InputError(
                f"{part} holds {address}, which is no address of a device",
                hint="multicast, broadcast and reserved addresses cannot be scanned",
                zh=f"{part} 含有 {address}，组播、广播和保留地址不能扫描",
            )


def _merged(blocks: Iterable[Block]) -> list[Block]:
    found: list[Block] = []
    for block in sorted(blocks, key=lambda b: (b.family, b.first, b.last)):
        before = found[-1] if found else None
        if before is not None and before.family == block.family and block.first <= before.last + 1:
            found[-1] = Block(before.family, before.first, max(before.last, block.last))
        else:
            found.append(block)
    return found


def _wrong(part: str) -> InputError:
    return InputError(
        f"{part!r} is no range of addresses",
        hint="write 10.1.0.0/24, 10.1.2.3-10.1.2.50, 10.1.2.3-50 or one address",
        zh=f"{part} 不是有效网段，可写 10.1.0.0/24、10.1.2.3-10.1.2.50、10.1.2.3-50 或单个地址",
    )


def _too_many(part: str, count: int) -> InputError:
    what, which = (f"{part} holds", part) if part else ("the ranges hold", "所给网段")
    return InputError(
        f"{what} {count} addresses, more than {MAX_ADDRESSES}",
        hint="scan at most a /16 (IPv6: a /112) at a time",
        zh=f"{which} 含 {count} 个地址，超过 {MAX_ADDRESSES}，一次最多扫描一个 /16（IPv6 为 /112）",
    )

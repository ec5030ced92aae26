"""Links from forwarding tables alone. Pure.

In a tree, two bridges are neighbours when none of those that both see in each other's direction lies between them;
one lies between when it sees the two on different ports. Bridges that all see each other on the same port share
something unseen. Cost: the square of the number of bridges in bit operations.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

Tables = Mapping[str, Mapping[int, frozenset[str]]]  # bridge -> port -> addresses learned there
_SAMPLE: Final = 48
_MAX_BRIDGES: Final = 600


class Directions:
    """On which port each bridge sees each other one."""

    def __init__(self, tables: Tables, owner: Mapping[str, str]) -> None:
        self.names = sorted(tables)[:_MAX_BRIDGES]
        self._tables = {name: tables[name] for name in self.names}
        self._place = {
            name: {mac: port for port, macs in sorted(ports.items()) for mac in macs}
            for name, ports in self._tables.items()
        }
        self.port: dict[str, dict[str, int]] = {name: self._seen(name, owner) for name in self.names}
        for name in self.names:
            for other in self.names:
                if other != name and other not in self.port[name] and name in self.port[other]:
                    guessed = self._guess(name, other)
                    if guessed:
                        self.port[name][other] = guessed

    def _seen(self, name: str, owner: Mapping[str, str]) -> dict[str, int]:
        votes: dict[str, Counter[int]] = {}
        for mac, port in self._place[name].items():
            other = owner.get(mac)
            if other is not None and other != name and other in self._tables:
                votes.setdefault(other, Counter())[port] += 1
        return {other: port for other, count in votes.items() if (port := _majority(count))}

    def _guess(self, name: str, other: str) -> int:
        """The port of `name` towards `other`, whose own address it has not learned: where most of what `other` sees
        on its other sides is.
        """
        towards = self.port[other][name]
        beyond = [mac for mac, port in self._place[other].items() if port != towards]
        sample = sorted(beyond, key=lambda mac: (zlib.crc32(mac.encode()), mac))[:_SAMPLE]
        places = self._place[name]
        return _majority(Counter(places[mac] for mac in sample if mac in places))

    def adjacent(self) -> Iterator[tuple[str, int, str, int]]:
        """(bridge, port, bridge, port or 0) of each pair of neighbours, the first bridge's name being the smaller."""
        number = {name: position for position, name in enumerate(self.names)}
        behind: dict[tuple[str, int], int] = {}
        for name, others in self.port.items():
            for other, port in others.items():
                behind[name, port] = behind.get((name, port), 0) | 1 << number[other]
        for a in self.names:
            for b in self.names[number[a] + 1 :]:
                p, q = self.port[a].get(b, 0), self.port[b].get(a, 0)
                if not p and not q:
                    continue
                everything = (1 << len(self.names)) - 1
                between = behind.get((a, p), 0) if p else everything
                between &= behind.get((b, q), 0) if q else everything
                between &= ~(1 << number[a] | 1 << number[b])
                if not self._is_between(between, a, b):
                    yield a, p, b, q

    def _is_between(self, candidates: int, a: str, b: str) -> bool:
        while candidates:
            lowest = candidates & -candidates
            candidates ^= lowest
            seen = self.port[self.names[lowest.bit_length() - 1]]
            if a in seen and b in seen and seen[a] != seen[b]:
                return True
        return False


def _majority(votes: Counter[int]) -> int:
    """The port with more than half of the votes, else 0."""
    if not votes:
        return 0
    port, count = max(votes.items(), key=lambda item: (item[1], -item[0]))
    return port if 2 * count > votes.total() else 0


def places_of(wanted: set[str], tables: Tables) -> dict[str, list[tuple[str, int]]]:
    """Where each of these addresses was learned."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name in sorted(tables):
        for port, learned in sorted(tables[name].items()):
            for mac in wanted & learned:
                found.setdefault(mac, []).append((name, port))
    return found

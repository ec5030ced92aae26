"""Whether a verified v3 message is new: what RFC 3414 section 3.2 (7b) asks of a receiver that is not authoritative.

pysnmp takes every signed trap as the truth about the sender's clock, so a recorded one would be taken again for ever.
Here each engine has the latest (boots, time) seen: what is older than the window is refused, what lies inside it is
taken once. The latest times are kept on disk, so that a restart does not open the door again. Pure but for `load`
and `save`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

WINDOW_SECONDS: Final = 150
_DRIFT: Final = 0.01  # how much slower than ours a device's clock may run
_REMEMBERED: Final = 20_000  # messages an engine may send within the window
_LAST_BOOTS: Final = 0x7FFFFFFF
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Engine:
    boots: int
    time: int
    at_ms: int
    floor: int = 0
    seen: OrderedDict[bytes, int] = field(default_factory=OrderedDict)


class Freshness:
    """Engines by id. For one thread."""

    def __init__(self) -> None:
        self._engines: dict[bytes, _Engine] = {}

    def judge(self, engine_id: bytes, boots: int, time: int, message: bytes, now_ms: int) -> str:
        """Empty when the message is new, and it is remembered then; else `window` or `replay`. Only for messages
        whose signature was verified.
        """
        known = self._engines.get(engine_id)
        if boots >= _LAST_BOOTS:
            return "window"
        if known is None or boots > known.boots:
            known = self._engines[engine_id] = _Engine(boots, time, now_ms)
        elif boots < known.boots or time < self._oldest(known, now_ms):
            return "window"
        mark = hashlib.blake2b(message, digest_size=16).digest()
        if mark in known.seen:
            return "replay"
        if time > known.time:
            known.time, known.at_ms = time, now_ms
        known.seen[mark] = time
        self._forget(known)
        return ""

    @staticmethod
    def _oldest(known: _Engine, now_ms: int) -> float:
        """The oldest time that is taken: near the latest one seen, and not far behind what the clock must show now."""
        passed = max(0, now_ms - known.at_ms) / 1000
        expected = known.time + passed * (1 - _DRIFT) - WINDOW_SECONDS
        return max(known.floor, known.time - WINDOW_SECONDS, expected)

    @staticmethod
    def _forget(known: _Engine) -> None:
        """What is older than the window is refused anyway; what has no room any more is refused from now on."""
        while known.seen:
            mark, at = next(iter(known.seen.items()))
            if at >= known.time - WINDOW_SECONDS and len(known.seen) <= _REMEMBERED:
                return
            del known.seen[mark]
            if at >= known.time - WINDOW_SECONDS:
                known.floor = max(known.floor, at + 1)

    def save(self, path: Path) -> None:
        """Keep the latest times. OSError when the disk does not take them."""
        document = {
            engine_id.hex(): [known.boots, known.time, known.at_ms]
            for engine_id, known in self._engines.items()
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(document), "ascii")
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Know what was saved; everything up to the saved times counts as seen."""
        try:
            document = json.loads(path.read_text("ascii"))
            for engine_id, (boots, time, at_ms) in document.items():
                known = _Engine(int(boots), int(time), int(at_ms), floor=int(time) + 1)
                self._engines[bytes.fromhex(engine_id)] = known
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning(
                "the times of SNMPv3 engines are not readable, they are learned anew", reason=str(error)
            )

"""How far forwarding is, and what became of it, in one small file that is replaced as a whole.

`done` is behind the last frame whose samples were all answered; `until` is behind the last frame of the batch that is
under way. After a crash the same batch is sent again: a back end that refuses what it already has (Prometheus) then
refuses nothing new with it. `settled` is behind the last frame answered so long ago that the back end has it on its
disk by now; what was answered later is sent again after an outage (VictoriaMetrics answers before it has written).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
import structlog

from monitor.metrics.wal import sync_folder
from monitor.metrics.wal_reader import Position

CURSOR_FILE = "cursor.json"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The state of forwarding to `target`, an address without secrets.

    `dropped` counts samples by reason: refused (4xx), refused_again (the repetition of a batch: most likely they are
    there), expired (older or more than may be kept), unnamed (their series' names are gone). `refused_batches` are
    requests that were given up. `failure` says why nothing is taken since `failing_since_ms`, empty when all is well.
    """

    target: str
    settled: Position = field(default_factory=Position)
    done: Position = field(default_factory=Position)
    until: Position | None = None
    sent: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused_batches: int = 0
    retries: int = 0
    failure: str = ""
    failing_since_ms: int = 0


def load_cursor(folder: Path, target: str = "") -> Cursor:
    """The stored cursor; a new one when there is none, it is damaged, or it is another target's.

    With an empty target: whatever is stored.
    """
    path = folder / CURSOR_FILE
    try:
        document = orjson.loads(path.read_bytes())
        document["settled"] = Position(**document["settled"])
        document["done"] = Position(**document["done"])
        document["until"] = Position(**document["until"]) if document["until"] else None
        cursor = Cursor(**document)
    except FileNotFoundError:
        return Cursor(target)
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        _log.error(
            "the forwarding cursor is damaged; samples are sent again", file=str(path), error=str(error)
        )
        return Cursor(target)
    if target and cursor.target != target:
        _log.warning("samples are forwarded to a new address", before=cursor.target, now=target)
        return Cursor(target)
    return cursor


def save_cursor(folder: Path, cursor: Cursor) -> None:
    """Replace the stored cursor; it is on disk when this returns. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{CURSOR_FILE}.tmp"
    with temporary.open("wb") as file:
        file.write(orjson.dumps(asdict(cursor)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / CURSOR_FILE)
    sync_folder(folder)

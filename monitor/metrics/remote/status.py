"""What the folder tells about forwarding, without the core: for `zhishou doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.clock import to_datetime
from monitor.metrics.remote.cursor import load_cursor
from monitor.metrics.remote.service import forward_folder
from monitor.metrics.wal_reader import WalReader
from monitor.settings import Settings


@dataclass(frozen=True, slots=True)
class Status:
    """One line about forwarding. `fine` is False while the back end takes nothing."""

    fine: bool
    detail: str


def forward_status(settings: Settings) -> Status | None:
    """How forwarding is, None when it is off and nothing waits."""
    cursor = load_cursor(forward_folder(settings))
    reader = WalReader(settings.folder / "metrics" / "wal")
    kept = sum(segment.size for segment in reader.kept())
    if not settings.remote_write_url:
        if not kept:
            return None
        return Status(False, f"off, but {_mib(kept)} of samples still wait in metrics/wal/kept")
    parts = [
        f"{cursor.sent} samples sent to {cursor.target or settings.remote_write_url}",
        f"{_mib(reader.pending_bytes(cursor.done))} waiting",
    ]
    parts += [f"{count} {reason}" for reason, count in sorted(cursor.dropped.items()) if count]
    if cursor.failure:
        since = to_datetime(cursor.failing_since_ms)
        parts.append(f"failing since {since:%Y-%m-%d %H:%M:%S} UTC: {cursor.failure}")
    return Status(not cursor.failure, ", ".join(parts))


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"

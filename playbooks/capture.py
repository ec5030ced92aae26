"""Packets of one host kept as evidence: a pcap file, filtered in the kernel and capped in bytes.

The only module that imports scapy, and only when a capture is asked for (it takes 74 MB). It listens, never sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import structlog

from playbooks.guard import normalise

if TYPE_CHECKING:
    from scapy.packet import Packet

log = structlog.get_logger(__name__)
START_SECONDS = 5.0
_RECORD_HEADER = 16
_FILE_HEADER = 24


@contextmanager
def host_capture(address: str, path: Path, max_bytes: int) -> Iterator[None]:
    """Write packets from and to `address` into `path` while the block runs; at most `max_bytes` of file.

    A capture that cannot be started is logged and the block runs without it: it is evidence, not a guard.
    """
    try:
        close = _start(address, path, max_bytes)
    except Exception as error:  # noqa: BLE001
        # scapy raises its own and the operating system's errors alike; none of them may stop the checks.
        log.warning("no capture", address=address, reason=f"{type(error).__name__}: {error}")
        yield
        return
    try:
        yield
    finally:
        close()
        log.info("captured", address=address, path=path.name, bytes=path.stat().st_size)


def _start(address: str, path: Path, max_bytes: int) -> Callable[[], None]:
    from scapy.config import conf
    from scapy.sendrecv import AsyncSniffer
    from scapy.utils import PcapWriter

    normal = normalise(address)
    if normal is None:
        raise ValueError(f"{address} is not an address")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    interface = conf.route.route(str(normal))[0] if normal.version == 4 else conf.iface
    writer = PcapWriter(str(path), sync=True)
    path.chmod(0o600)
    left = [max_bytes - _FILE_HEADER]
    ready = Event()

    def keep(packet: Packet) -> None:
        size = len(bytes(packet)) + _RECORD_HEADER
        if size <= left[0]:
            left[0] -= size
            writer.write(packet)

    sniffer = AsyncSniffer(
        iface=interface, filter=f"host {normal}", prn=keep, store=False, started_callback=ready.set
    )
    sniffer.start()
    if not ready.wait(START_SECONDS):
        writer.close()
        raise OSError(str(getattr(sniffer, "exception", None) or "the sniffer did not start"))

    def close() -> None:
        if sniffer.running:
            sniffer.stop(join=True)
        writer.close()

    return close

"""Runs the scans the core orders, one after another beside the polls, and tells the core how far they are.

Where a scan stands is kept on disk: a collector that is started again takes it up there, so that no credential is
tried twice at an address for a restart, but for the few addresses that were under way.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from collectors.discovery.scan import Ending, Progress, Scan, Start
from collectors.discovery.skips import Skip, forbidden
from collectors.interface import Assignment, Host
from collectors.profiles.library import load_library
from collectors.profiles.profile import Profile
from monitor.discovery.interface import DATASET, FIND, PROGRESS, Find, ScanOrder
from monitor.discovery.ranges import parse_ranges
from monitor.errors import InputError
from monitor.settings import Settings

TELL_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 5.0
_KEPT_ENDINGS: Final = 200

log = structlog.get_logger(__name__)


class DiscoveryCompanion:
    """A Companion: one thread that waits for orders and runs them."""

    def __init__(
        self, host: Host, profiles: Mapping[str, Profile] | None = None, *, folder: str = ""
    ) -> None:
        self._host = host
        self._profiles = profiles
        self._folder = folder
        self._journal = ScanJournal(host.folder / "discovery.json")
        self._changed = threading.Condition()
        self._assignment: Assignment | None = None
        self._running: int | None = None
        self._stop_scan = threading.Event()
        self._stopping = False
        self._told_at = 0.0
        self._thread = threading.Thread(target=self._guarded, name="discovery", daemon=True)

    def start(self) -> None:
        """See Companion."""
        self._thread.start()

    def assign(self, assignment: Assignment) -> None:
        """Take orders; a scan that is not among them any more is cancelled."""
        with self._changed:
            self._assignment = assignment
            if self._running is not None and self._running not in {order.id for order in assignment.scans}:
                self._stop_scan.set()
            self._changed.notify_all()

    def stop(self) -> None:
        """See Companion."""
        with self._changed:
            self._stopping = True
            self._stop_scan.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _guarded(self) -> None:
        try:
            self._work()
        except Exception:
            # The polls beside it must go on; the core sees that its scans fall silent.
            log.exception("discovery ended in a fault of its own")

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                while found is None and not self._stopping:
                    self._changed.wait()
                    found = self._next()
                if self._stopping or found is None:
                    return
                order, assignment = found
                self._running = order.id
                self._stop_scan.clear()
            self._run(order, assignment)
            with self._changed:
                self._running = None
                if not self._journal.over(order.key) and not self._stopping:
                    self._changed.wait(
                        _AGAIN_SECONDS
                    )  # the spool is full: its end is told when there is room

    def _next(self) -> tuple[ScanOrder, Assignment] | None:
        """The oldest order that has not been carried out; the core may still name one that ended just now."""
        if self._assignment is None:
            return None
        for order in sorted(self._assignment.scans, key=lambda o: o.id):
            if not self._journal.over(order.key):
                return order, self._assignment
        return None

    def _run(self, order: ScanOrder, assignment: Assignment) -> None:
        start = self._journal.start(order.key)
        began = self._host.clock.monotonic()
        try:
            wanted = parse_ranges(order.ranges)
            skipped = [skip for skip in forbidden(assignment.devices) if skip.address in wanted]
            scan = Scan(
                order,
                assignment.credentials,
                self._loaded_profiles(),
                self._host.clock,
                skip=frozenset(skip.address for skip in skipped),
                start=start,
                stop=self._stop_scan,
            )
        except InputError as error:
            self._finish(
                order,
                Progress(0, 0, 0, 0, 0.0, None, 0, 0),
                Ending("failed", "input", error.message, error.zh),
            )
            return
        log.info("scan begins", scan=order.id, site=order.site, addresses=wanted.count, resumed_at=start.mark)
        self._tell(order, scan.progress(), Ending("running"), skipped)

        def note(progress: Progress) -> None:
            age = start.age + self._host.clock.monotonic() - began
            self._journal.note(order.key, Start(progress.mark, progress.kept, progress.packets, age))
            self._tell_now_and_then(order, progress)

        try:
            ending = scan.run(lambda find: self._tell_find(order, find), note)
        except Exception as failure:
            # A fault of ours ends this scan with a reason, not the ones after it.
            log.exception("a scan failed", scan=order.id)
            ending = Ending(
                "failed",
                "internal",
                f"the scan failed: {type(failure).__name__}",
                "扫描程序内部错误，详见采集器日志",
            )
        if self._stopping and ending.state == "cancelled":
            note(scan.progress())
            return  # not the scan's end: it goes on when the collector is started again
        self._finish(order, scan.progress(), ending)

    def _finish(self, order: ScanOrder, progress: Progress, ending: Ending) -> None:
        if self._tell(order, progress, ending):
            self._journal.end(order.key)
        log.info("scan ended", scan=order.id, state=ending.state, found=progress.found, reason=ending.message)

    def _loaded_profiles(self) -> Mapping[str, Profile]:
        if self._profiles is None:
            self._profiles = load_library(Path(self._folder) if self._folder else None).profiles
        return self._profiles

    # -- telling ----------------------------------------------------------------------------------------------

    def _tell_now_and_then(self, order: ScanOrder, progress: Progress) -> None:
        now = self._host.clock.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(order, progress, Ending("running"))

    def _tell(
        self, order: ScanOrder, progress: Progress, ending: Ending, skipped: Sequence[Skip] = ()
    ) -> bool:
        event: dict[str, str | int | float | bool | None] = {
            **self._head(order, PROGRESS),
            "zhishou.state": ending.state,
            "zhishou.done": progress.done,
            "zhishou.total": progress.total,
            "zhishou.found": progress.found,
            "zhishou.packets": progress.packets,
            "zhishou.speed": progress.speed,
            "zhishou.eta": progress.eta,
            "message": _sentence(order, progress, ending),
        }
        if skipped:
            event["zhishou.skipped"] = json.dumps([asdict(skip) for skip in skipped], ensure_ascii=False)
        if ending.state == "failed":
            event["zhishou.reason_code"] = ending.code
            event["zhishou.reason_message"] = ending.message
            event["zhishou.reason_zh"] = ending.zh
        return self._host.tell(str(uuid.uuid4()), event)

    def _tell_find(self, order: ScanOrder, find: Find) -> None:
        event = {
            **self._head(order, FIND),
            "zhishou.find": json.dumps(asdict(find), ensure_ascii=False),
            "message": f"发现 {find.address} {find.sys_name}",
        }
        self._host.tell(str(uuid.uuid4()), event)

    def _head(self, order: ScanOrder, action: str) -> dict[str, str | int | float | bool | None]:
        return {
            "@timestamp": self._host.clock.now_ms(),
            "event.dataset": DATASET,
            "event.action": action,
            "zhishou.collector": self._host.collector,
            "zhishou.site": str(order.site),
            "zhishou.scan": order.id,
        }


class ScanJournal:
    """Where scans stand, on disk. A file that cannot be read or written costs a repeated scan, never the collector."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, dict[str, float]] = {}
        self._over: list[str] = []
        try:
            document = json.loads(path.read_text("utf-8"))
            self._open = {
                str(key): {name: float(value) for name, value in entry.items()}
                for key, entry in document["open"].items()
            }
            self._over = [str(key) for key in document["over"]]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("where scans stood is not known any more", reason=str(error))

    def start(self, scan: str) -> Start:
        """Where to take a scan up."""
        entry = self._open.get(scan, {})
        return Start(
            int(entry.get("mark", 0)),
            int(entry.get("found", 0)),
            int(entry.get("packets", 0)),
            entry.get("age", 0.0),
        )

    def over(self, scan: str) -> bool:
        """Whether a scan has been carried out."""
        return scan in self._over

    def note(self, scan: str, at: Start) -> None:
        """Remember how far a scan is."""
        self._open = {scan: {name: float(value) for name, value in asdict(at).items()}}
        self._write()

    def end(self, scan: str) -> None:
        """Remember that a scan is over."""
        self._open.pop(scan, None)
        self._over = [*self._over, scan][-_KEPT_ENDINGS:]
        self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"open": self._open, "over": self._over}), "utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("where a scan stands cannot be written", reason=str(error))


def _sentence(order: ScanOrder, progress: Progress, ending: Ending) -> str:
    words = {"running": "进行中", "done": "完成", "cancelled": "已取消", "failed": "失败"}
    reason = f"：{ending.zh}" if ending.zh else ""
    return f"资产发现 {order.id} {words[ending.state]}，{progress.done}/{progress.total}，应答 {progress.found}{reason}"


def build(host: Host, settings: Settings, _registry: CollectorRegistry) -> DiscoveryCompanion:
    """The entry point of `zhishou.companions`."""
    return DiscoveryCompanion(host, folder=settings.profiles)

"""A fixed number of threads that poll many devices, one poll a device at a time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

import structlog

from collectors.timetable import Task
from monitor.model import DeviceId

log = structlog.get_logger(__name__)


class DeviceWorkers:
    """Runs tasks; those of the same device one after another, in order. Threads are daemons, so that a device that
    hangs cannot keep the process from ending.
    """

    def __init__(self, count: int, run: Callable[[Task], None]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._waiting: dict[DeviceId, deque[Task]] = {}
        self._ready: queue.SimpleQueue[DeviceId | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"poll-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> bool:
        """Queue a task; False when the same task is still waiting or running."""
        with self._lock:
            line = self._waiting.get(task.device)
            if line is None:
                self._waiting[task.device] = deque([task])
                self._ready.put(task.device)
                return True
            if any(other.module == task.module for other in line):
                return False
            line.append(task)
            return True

    def stop(self, seconds: float) -> int:
        """End the threads; returns how many were still in a poll after `seconds`."""
        with self._lock:
            for line in self._waiting.values():
                while len(line) > 1:
                    line.pop()
        for _ in self._threads:
            self._ready.put(None)
        share = seconds
        for thread in self._threads:
            if not thread.is_alive():
                continue
            thread.join(share)
            if thread.is_alive():
                share = 0.0  # the time is used up: only look at the others
        return sum(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (device := self._ready.get()) is not None:
            with self._lock:
                task = self._waiting[device][0]
            try:
                self._run(task)
            except Exception:
                # One device must never end a thread that serves hundreds.
                log.exception("a poll ended in an unexpected error", device=task.device, module=task.module)
            with self._lock:
                line = self._waiting[device]
                line.popleft()
                if line:
                    self._ready.put(device)
                else:
                    del self._waiting[device]

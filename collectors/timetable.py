"""When what is polled: pure arithmetic on seconds of a clock that never jumps back.

Every task keeps its own place in its interval, given by a hash, so that thousands of devices do not answer in the
same second. A new task is polled soon (within ten seconds), then on its place.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.model import DeviceId

SOON = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """One module of one device, every `interval` seconds."""

    device: DeviceId
    module: str
    interval: float

    @property
    def share(self) -> float:
        """Its place in the interval, 0..1, the same in every process."""
        return zlib.crc32(f"{self.device}\0{self.module}".encode()) / 2**32


@dataclass(frozen=True, slots=True)
class Due:
    """A task whose time has come; `late` seconds ago. `missed` further times of its own passed meanwhile."""

    task: Task
    late: float
    missed: int


class Timetable:
    """The times of a changing set of tasks."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[DeviceId, str], Task] = {}
        self._heap: list[tuple[float, DeviceId, str, Task]] = []

    def replace(self, tasks: Iterable[Task], now: float) -> list[Task]:
        """Make these the tasks; unchanged ones keep their times. Returns the tasks that are gone."""
        wanted = {(task.device, task.module): task for task in tasks}
        before, self._tasks = self._tasks, wanted
        for key, task in wanted.items():
            if before.get(key) != task:
                heapq.heappush(self._heap, (now + task.share * min(SOON, task.interval), *key, task))
        self._heap = [entry for entry in self._heap if wanted.get((entry[1], entry[2])) == entry[3]]
        heapq.heapify(self._heap)
        return [task for key, task in before.items() if key not in wanted]

    def due(self, now: float) -> list[Due]:
        """The tasks whose time has come, each with its next time set."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, device, module, task = heapq.heappop(self._heap)
            found.append(Due(task, now - at, int((now - at) // task.interval)))
            heapq.heappush(self._heap, (_next(task, now), device, module, task))
        return found

    def next_at(self) -> float | None:
        """When the next task is due; None without tasks."""
        return self._heap[0][0] if self._heap else None


def _next(task: Task, now: float) -> float:
    """The task's place in its interval at least half an interval from now."""
    place = task.share * task.interval
    rounds = (now + task.interval / 2 - place) // task.interval + 1
    return float(rounds * task.interval + place)

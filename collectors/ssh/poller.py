"""The Poller for Linux hosts: one kept connection a device, one combined command a poll."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from collectors.interface import Credential, PollError, PollResult, Reading
from collectors.ssh.linux import NO_LABELS, SCRIPT, CpuTimes, Snapshot, cpu_ratio, parse
from collectors.ssh.session import Output, SshError, SshSession, connect
from monitor.clock import Clock
from monitor.devices import SshTarget
from monitor.errors import InputError
from monitor.model import Device, DeviceId

MODULE = "ssh"
MAX_OUTPUT_BYTES = 1 << 20
MAX_KEPT = 512  # connections; every one costs a thread and a descriptor
_COMMAND = ("sh", "-c", SCRIPT)
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Kept:
    """What is remembered of one device between polls."""

    target: SshTarget
    session: SshSession
    cpu: CpuTimes | None = None


class SshPoller:
    """Polls devices that have `ssh` access. Safe from several threads; one device is polled by one at a time."""

    def __init__(self, clock: Clock, *, max_output_bytes: int = MAX_OUTPUT_BYTES) -> None:
        self._clock = clock
        self._max_output_bytes = max_output_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[DeviceId, _Kept] = OrderedDict()

    def poll(self, device: Device, credential: Credential | None) -> PollResult:
        """One poll; every failure is a result with a PollError."""
        started, at_ms = self._clock.monotonic(), self._clock.now_ms()
        try:
            kept, output = self._run(device, _target(device, credential))
        except SshError as error:
            return self._failed(started, at_ms, PollError(error.code, str(error), error.zh))
        except InputError as error:
            return self._failed(started, at_ms, PollError("config", str(error), error.zh))
        snapshot = parse(output.stdout.decode("utf-8", "replace"))
        ratio, kept.cpu = cpu_ratio(kept.cpu, snapshot.cpu), snapshot.cpu
        errors = _errors(output, snapshot, kept.session.where)
        return PollResult(
            MODULE,
            up=bool(snapshot.readings),
            at_ms=at_ms,
            duration_seconds=self._clock.monotonic() - started,
            readings=[*snapshot.readings, *_normalised(snapshot, ratio)],
            errors=errors,
            identity=dict(snapshot.identity),
            detail=_detail(snapshot, ratio),
        )

    def close(self) -> None:
        """End every kept connection."""
        with self._lock:
            kept, self._kept = self._kept, OrderedDict()
        for item in kept.values():
            item.session.close()

    def _run(self, device: Device, target: SshTarget) -> tuple[_Kept, Output]:
        """The combined command on the kept connection; once more on a new one when the kept one proves dead."""
        with self._lock:
            kept = self._kept.pop(device.id, None)
        if kept is not None and kept.target == target and kept.session.alive:
            try:
                return kept, self._command(device.id, kept)
            except SshError as error:
                if error.code != "closed":
                    raise
                log.info("ssh connection lost, connecting again", device=device.id)
        elif kept is not None:
            kept.session.close()
        fresh = _Kept(target, connect(target), kept.cpu if kept is not None else None)
        return fresh, self._command(device.id, fresh)

    def _command(self, device: DeviceId, kept: _Kept) -> Output:
        try:
            output = kept.session.run(_COMMAND, timeout=kept.target.timeout, max_bytes=self._max_output_bytes)
        except SshError:
            kept.session.close()
            raise
        with self._lock:
            self._kept[device] = kept
            surplus = [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - MAX_KEPT)]
        for item in surplus:
            item.session.close()
        return output

    def _failed(self, started: float, at_ms: int, error: PollError) -> PollResult:
        return PollResult(
            MODULE, up=False, at_ms=at_ms, duration_seconds=self._clock.monotonic() - started, errors=[error]
        )


def _target(device: Device, credential: Credential | None) -> SshTarget:
    access = device.ssh
    if access is None or credential is None or credential.kind != MODULE:
        raise InputError(
            "no SSH credential is registered for this device",
            where=device.id,
            hint="name a credential of kind ssh in the inventory",
            zh=f"{device.id}:未登记可用的 SSH 凭据,请在清单中填写 ssh 凭据",
        )
    return SshTarget(
        host=device.address,
        port=access.port,
        user=credential.user,
        password=credential.password,
        private_key=credential.private_key,
        host_key=access.host_key,
        timeout=access.timeout,
    )


def _errors(output: Output, snapshot: Snapshot, where: str) -> list[PollError]:
    if output.truncated:
        return [
            PollError("truncated", f"{where}: the output is longer than expected", f"{where}:输出过长,已截断")
        ]
    if not snapshot.complete:
        return [
            PollError(
                "malformed",
                f"{where}: the command did not finish (exit {output.exit_code}); "
                "is this a Linux host with a POSIX shell?",
                f"{where}:采集命令未执行完,请确认对方是带 POSIX shell 的 Linux 主机",
            )
        ]
    if snapshot.damaged:
        names = ", ".join(snapshot.damaged)
        return [PollError("malformed", f"{where}: cannot understand {names}", f"{where}:无法识别 {names}")]
    return []


def _normalised(snapshot: Snapshot, ratio: float | None) -> list[Reading]:
    found = [] if ratio is None else [Reading("device_cpu_ratio", NO_LABELS, ratio)]
    if snapshot.memory is not None:
        used, size = snapshot.memory
        found += [
            Reading("device_memory_used_bytes", NO_LABELS, used),
            Reading("device_memory_size_bytes", NO_LABELS, size),
        ]
    for item in snapshot.filesystems:
        labels = (("storage", item.mountpoint),)
        found += [
            Reading("device_storage_used_bytes", labels, item.used),
            Reading("device_storage_size_bytes", labels, item.size),
        ]
    return found


def _detail(snapshot: Snapshot, ratio: float | None) -> dict[str, object]:
    memory = []
    if snapshot.memory is not None:
        used, size = snapshot.memory
        ratio_used = used / size if size else None
        memory = [{"name": "memory", "used_bytes": used, "size_bytes": size, "utilization_ratio": ratio_used}]
    loads = {
        reading.name: reading.value for reading in snapshot.readings if reading.name.startswith("node_load")
    }
    return {
        "uptime_seconds": snapshot.uptime,
        "load1": loads.get("node_load1"),
        "processors": [{"name": "all", "utilization_ratio": ratio}],
        "memory": memory,
        "storage": [
            {
                "name": item.mountpoint,
                "used_bytes": item.used,
                "size_bytes": item.size,
                "utilization_ratio": item.used / item.size,
            }
            for item in snapshot.filesystems
        ],
    }

"""What one combined command on a Linux host prints, as readings with node_exporter's names and labels. Pure.

`SCRIPT` prints every source after a line `=== zhishou NAME`; `parse` takes the sections apart again. A section that is
missing or damaged costs only its own readings and is named in `Snapshot.damaged`; a text without the last section
was cut off. Sources: proc(5), df(1) POSIX output, adjtimex(8), chronyc(1), os-release(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collectors.interface import Reading
from collectors.ssh.filesystems import Filesystem, filesystem_readings, filesystems

MARK = "=== zhishou "
LAST = "end"
SCRIPT = """export LC_ALL=C
s() { echo; echo "=== zhishou $1"; }
for f in stat meminfo loadavg uptime net/dev diskstats; do s $f; cat /proc/$f 2>/dev/null; done
s uname; cd /proc/sys/kernel && cat ostype osrelease version hostname domainname 2>/dev/null; uname -m
s time; date +%s
s os-release; cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null
s dmi; cd /sys/class/dmi/id 2>/dev/null && for f in sys_vendor product_name product_serial; do
echo "$f=$(cat $f 2>/dev/null)"; done
s df; df -PkTl 2>/dev/null || df -PkT 2>/dev/null
s inodes; df -PiTl 2>/dev/null
s timex; { adjtimex --print || chronyc -c tracking || timedatectl show -p NTPSynchronized; } 2>/dev/null
s end
"""
USER_HZ = 100  # of every Linux port a hospital runs; sysconf(_SC_CLK_TCK) cannot be asked remotely
SECTOR_BYTES = 512
KIB = 1024
NO_LABELS: tuple[tuple[str, str], ...] = ()
_CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_NET_COLUMNS = (
    *(
        f"receive_{kind}"
        for kind in ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
    ),
    *(
        f"transmit_{kind}"
        for kind in ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
    ),
)
_DISK_COLUMNS = (
    ("reads_completed_total", 1.0),
    ("reads_merged_total", 1.0),
    ("read_bytes_total", SECTOR_BYTES),
    ("read_time_seconds_total", 0.001),
    ("writes_completed_total", 1.0),
    ("writes_merged_total", 1.0),
    ("written_bytes_total", SECTOR_BYTES),
    ("write_time_seconds_total", 0.001),
    ("io_now", 1.0),
    ("io_time_seconds_total", 0.001),
    ("io_time_weighted_seconds_total", 0.001),
    ("discards_completed_total", 1.0),
    ("discards_merged_total", 1.0),
    ("discarded_sectors_total", 1.0),
    ("discard_time_seconds_total", 0.001),
    ("flush_requests_total", 1.0),
    ("flush_requests_time_seconds_total", 0.001),
)
# Partitions, ram and loop devices repeat what their disk says (node_exporter's default exclusion).
_NOT_DISKS = re.compile(r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]+|nvme\d+n\d+p)\d+")
_STAT_WORDS = {
    "intr": "node_intr_total",
    "ctxt": "node_context_switches_total",
    "processes": "node_forks_total",
    "btime": "node_boot_time_seconds",
    "procs_running": "node_procs_running",
    "procs_blocked": "node_procs_blocked",
}
_UNAME_WORDS = ("sysname", "release", "version", "nodename", "domainname", "machine")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds all processors together spent busy and in all since boot."""

    busy: float
    total: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One poll's worth. `cpu`, memory (bytes) and uptime (seconds) are None when the host did not tell."""

    readings: tuple[Reading, ...]
    cpu: CpuTimes | None = None
    memory: tuple[float, float] | None = None  # used, size
    uptime: float | None = None
    filesystems: tuple[Filesystem, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    complete: bool = True


def sections(text: str) -> dict[str, str]:
    """The text of every section by name, in order."""
    found: dict[str, str] = {}
    for part in ("\n" + text).split("\n" + MARK)[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body
    return found


def parse(text: str) -> Snapshot:
    """Everything one combined output says."""
    parts = sections(text)
    complete = LAST in parts
    if not complete and parts:
        parts.popitem()  # the section that was being printed when the text was cut
    readings: list[Reading] = []
    damaged: list[str] = []
    for name, reader in _READERS.items():
        if not parts.get(name, "").strip():
            continue
        try:
            readings += reader(parts[name])
        except (ValueError, IndexError, KeyError):
            damaged.append(name)
    mounted = filesystems(parts.get("df", ""), parts.get("inodes", ""))
    readings += filesystem_readings(mounted)
    good = {name: body for name, body in parts.items() if name not in damaged}
    return Snapshot(
        tuple(readings),
        cpu=_cpu_times(good.get("stat", "")),
        memory=_memory(good.get("meminfo", "")),
        uptime=float(good["uptime"].split(maxsplit=1)[0]) if good.get("uptime", "").strip() else None,
        filesystems=mounted,
        identity=_identity(good),
        damaged=tuple(damaged),
        complete=complete,
    )


def cpu_ratio(before: CpuTimes | None, now: CpuTimes | None) -> float | None:
    """Share of time the processors were busy between two snapshots, 0..1; None without two that go forward."""
    if before is None or now is None or now.total <= before.total:
        return None
    return min(1.0, max(0.0, (now.busy - before.busy) / (now.total - before.total)))


def stat_readings(text: str) -> list[Reading]:
    """/proc/stat: seconds by processor and mode, interrupts, context switches, forks, processes, boot time."""
    _cpu_times(text)  # a total that is no number damages the section
    found = []
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word.startswith("cpu") and word != "cpu":
            found += _processor(word.removeprefix("cpu"), [float(value) / USER_HZ for value in values])
        elif word in _STAT_WORDS:
            found.append(Reading(_STAT_WORDS[word], NO_LABELS, float(values[0])))
    return found


def _processor(cpu: str, seconds: list[float]) -> list[Reading]:
    modes = [
        Reading("node_cpu_seconds_total", (("cpu", cpu), ("mode", mode)), value)
        for mode, value in zip(_CPU_MODES, seconds, strict=False)
    ]
    guests = [
        Reading("node_cpu_guest_seconds_total", (("cpu", cpu), ("mode", mode)), value)
        for mode, value in zip(("user", "nice"), seconds[len(_CPU_MODES) :], strict=False)
    ]
    return modes + guests


def _cpu_times(text: str) -> CpuTimes | None:
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word == "cpu" and len(values) >= 4:
            # Guest time (columns 9 and 10) is already part of user and nice.
            seconds = [float(value) / USER_HZ for value in values[: len(_CPU_MODES)]]
            idle = sum(seconds[3:5])
            return CpuTimes(sum(seconds) - idle, sum(seconds))
    return None


def _meminfo(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if value := rest.split():
            kilobytes = value[1:] == ["kB"]
            key = name.strip().replace("(", "_").replace(")", "") + ("_bytes" if kilobytes else "")
            found[key] = float(value[0]) * (KIB if kilobytes else 1)
    return found


def meminfo_readings(text: str) -> list[Reading]:
    """/proc/meminfo: node_memory_<Name>_bytes, as node_exporter spells the names."""
    return [Reading(f"node_memory_{name}", NO_LABELS, value) for name, value in _meminfo(text).items()]


def _memory(text: str) -> tuple[float, float] | None:
    values = _meminfo(text)
    size = values.get("MemTotal_bytes")
    if size is None:
        return None
    free = values.get("MemAvailable_bytes")
    if free is None:  # kernels before 3.14
        free = sum(values.get(name, 0.0) for name in ("MemFree_bytes", "Buffers_bytes", "Cached_bytes"))
    return size - free, size


def loadavg_readings(text: str) -> list[Reading]:
    """/proc/loadavg: node_load1, node_load5, node_load15."""
    words = text.split()
    return [
        Reading(f"node_load{span}", NO_LABELS, float(words[place])) for place, span in enumerate((1, 5, 15))
    ]


def netdev_readings(text: str) -> list[Reading]:
    """/proc/net/dev: node_network_{receive,transmit}_*_total by device."""
    found = []
    for line in text.splitlines():
        device, colon, rest = line.rpartition(":")
        if colon:
            labels = (("device", device.strip()),)
            for column, value in zip(_NET_COLUMNS, rest.split(), strict=True):
                found.append(Reading(f"node_network_{column}_total", labels, float(value)))
    return found


def diskstats_readings(text: str) -> list[Reading]:
    """/proc/diskstats: node_disk_* by device; times in seconds, sizes in bytes; partitions left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if not words or _NOT_DISKS.fullmatch(words[2]):
            continue
        labels = (("device", words[2]),)
        for (column, unit), value in zip(_DISK_COLUMNS, words[3:], strict=False):
            found.append(Reading(f"node_disk_{column}", labels, float(value) * unit))
    return found


def _uname(text: str) -> dict[str, str]:
    return dict(zip(_UNAME_WORDS, (line.strip() for line in text.strip().splitlines()), strict=True))


def uname_readings(text: str) -> list[Reading]:
    """node_uname_info with the six fields of uname(2) as labels."""
    return [Reading("node_uname_info", tuple(sorted(_uname(text).items())), 1.0)]


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip().lower(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def os_release_readings(text: str) -> list[Reading]:
    """node_os_info with the fields of os-release(5) that name the system."""
    known = _os_release(text)
    names = ("id", "id_like", "name", "pretty_name", "variant", "version", "version_codename", "version_id")
    return [Reading("node_os_info", tuple((name, known[name]) for name in names if known.get(name)), 1.0)]


def timex_readings(text: str) -> list[Reading]:
    """Clock synchronisation from adjtimex(8), chronyc(1) or timedatectl(1), whichever the host has."""
    if synchronised := re.search(r"^NTPSynchronized=(yes|no)", text, re.MULTILINE):
        return [_timex("sync_status", float(synchronised[1] == "yes"))]
    if status := re.search(r"^\s*status:\s*(\d+)", text, re.MULTILINE):
        offset = re.search(r"^\s*offset:\s*(-?\d+)", text, re.MULTILINE)
        unsynchronised = bool(int(status[1]) & 0x40)  # STA_UNSYNC
        nano = bool(int(status[1]) & 0x2000)  # STA_NANO
        found = [_timex("sync_status", float(not unsynchronised))]
        return found + (
            [_timex("offset_seconds", int(offset[1]) * (1e-9 if nano else 1e-6))] if offset else []
        )
    fields = text.strip().split(",")  # chronyc -c tracking: 4 = system time offset, last = leap status
    return [
        _timex("sync_status", float(fields[-1] != "Not synchronised")),
        _timex("offset_seconds", float(fields[4])),
    ]


def _timex(name: str, value: float) -> Reading:
    return Reading(f"node_timex_{name}", NO_LABELS, value)


def time_readings(text: str) -> list[Reading]:
    """node_time_seconds: the host's own clock."""
    return [Reading("node_time_seconds", NO_LABELS, float(text.strip()))]


def _uptime_readings(text: str) -> list[Reading]:
    float(
        text.split(maxsplit=1)[0]
    )  # judged here so that a damaged section is named; the snapshot keeps the value
    return []


def _identity(parts: Mapping[str, str]) -> dict[str, str]:
    system = _os_release(parts.get("os-release", ""))
    host = _uname(parts["uname"]) if parts.get("uname", "").strip() else {}
    machine = dict(line.partition("=")[::2] for line in parts.get("dmi", "").splitlines() if "=" in line)
    found = {
        "os": system.get("pretty_name", "") or host.get("sysname", ""),
        "version": host.get("release", ""),
        "sys_name": host.get("nodename", ""),
        "vendor": machine.get("sys_vendor", "").strip(),
        "hardware": machine.get("product_name", "").strip(),
        "serial": machine.get("product_serial", "").strip(),
    }
    return {name: value for name, value in found.items() if value}


_READERS: Mapping[str, Callable[[str], list[Reading]]] = {
    "stat": stat_readings,
    "meminfo": meminfo_readings,
    "loadavg": loadavg_readings,
    "uptime": _uptime_readings,
    "net/dev": netdev_readings,
    "diskstats": diskstats_readings,
    "uname": uname_readings,
    "time": time_readings,
    "os-release": os_release_readings,
    "timex": timex_readings,
}

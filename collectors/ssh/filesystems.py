"""df(1)'s POSIX output as file systems and as node_exporter's node_filesystem_* readings. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from collectors.interface import Reading

KIB = 1024
# node_exporter's default exclusions; the root stays in even on an overlay, it is what fills up in a container.
_HIDDEN_TYPES = re.compile(
    r"autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|"
    r"procfs|proc|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs"
)
_HIDDEN_MOUNTS = re.compile(
    r"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/.*)"
)
_LINE = re.compile(r"(.+?)\s+(\S+)\s+(\d+|-)\s+(\d+|-)\s+(-?\d+|-)\s+(\d+%|-)\s+(/.*)")


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One mounted local file system; sizes in bytes. `free` counts the blocks reserved for root, `avail` does not."""

    device: str
    kind: str
    mountpoint: str
    size: float
    used: float
    avail: float
    files: float | None = None
    files_free: float | None = None


def filesystems(blocks: str, inodes: str) -> tuple[Filesystem, ...]:
    """The file systems in the output of `df -PkT`, with counts of files from `df -PiT` where it has them."""
    found: dict[str, Filesystem] = {}
    for device, kind, size, used, avail, mountpoint in _lines(blocks):
        if size:
            found[mountpoint] = Filesystem(device, kind, mountpoint, size * KIB, used * KIB, avail * KIB)
    for _, _, files, _, free, mountpoint in _lines(inodes):
        if files and mountpoint in found:
            found[mountpoint] = replace(found[mountpoint], files=files, files_free=free)
    return tuple(found.values())


def _lines(text: str) -> list[tuple[str, str, float, float, float, str]]:
    found = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match and _shown(match[2], match[7]):
            size, used, avail = (0.0 if word == "-" else float(word) for word in match.group(3, 4, 5))
            found.append((match[1], match[2], size, used, avail, match[7]))
    return found


def _shown(kind: str, mountpoint: str) -> bool:
    return mountpoint == "/" or (
        not _HIDDEN_TYPES.fullmatch(kind) and not _HIDDEN_MOUNTS.fullmatch(mountpoint)
    )


def filesystem_readings(found: Sequence[Filesystem]) -> list[Reading]:
    """node_filesystem_{size,free,avail}_bytes and node_filesystem_files{,_free}."""
    readings = []
    for item in found:
        labels = (("device", item.device), ("fstype", item.kind), ("mountpoint", item.mountpoint))
        values = {
            "size_bytes": item.size,
            "free_bytes": item.size - item.used,
            "avail_bytes": item.avail,
            "files": item.files,
            "files_free": item.files_free,
        }
        readings += [
            Reading(f"node_filesystem_{name}", labels, value)
            for name, value in values.items()
            if value is not None
        ]
    return readings

"""The parsers: texts of several kernels in, node_exporter's names out; nothing they are given makes them fail."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.interface import Reading
from collectors.ssh import linux
from collectors.ssh.filesystems import filesystem_readings, filesystems
from collectors.ssh.linux import CpuTimes, cpu_ratio, parse

STAT = """cpu  1000 20 300 8000 100 0 30 50 0 0
cpu0 600 10 200 4000 60 0 20 25 5 1
cpu1 400 10 100 4000 40 0 10 25 0 0
intr 12345 0 9
ctxt 999
btime 1700000000
processes 4242
procs_running 3
procs_blocked 1
softirq 7 1 2
"""
NETDEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
eth0:9999999999 5 1 2 3 4 5 6 7 8 9 10 11 12 13 14
"""
DISKS = """   8       0 sda 10 1 100 2000 20 2 200 3000 1 4000 5000 1 2 3 4000 5 6000
   8       1 sda1 10 1 100 2000 20 2 200 3000 1 4000 5000
 259       0 nvme0n1 1 0 8 1 1 0 8 1 0 1 1
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0
"""
DF = """Filesystem                 Type  1024-blocks      Used Available Capacity Mounted on
/dev/mapper/vg root        ext4     1000000    400000    500000      45% /
tmpfs                      tmpfs      50000         0     50000       0% /run
/dev/sdb1                  xfs      2000000   1000000   1000000      50% /data/影像 归档
devtmpfs                   devtmpfs   10000         0     10000       0% /dev
overlay                    overlay     9999         1      9998       1% /var/lib/docker/overlay2/x/merged
"""
INODES = """Filesystem Type Inodes IUsed IFree IUse% Mounted on
/dev/mapper/vg root ext4 1000 400 600 40% /
/dev/sdb1 xfs - - - - /data/影像 归档
"""


def values(readings: list[Reading]) -> dict[str, float]:
    """name{label="value"} to value, as Prometheus writes it."""
    return {
        r.name + ("{" + ",".join(f'{k}="{v}"' for k, v in r.labels) + "}" if r.labels else ""): r.value
        for r in readings
    }


def section(name: str, text: str) -> str:
    return f"\n=== zhishou {name}\n{text}"


def test_stat() -> None:
    found = values(linux.stat_readings(STAT))
    assert found['node_cpu_seconds_total{cpu="0",mode="user"}'] == 6
    assert found['node_cpu_seconds_total{cpu="1",mode="steal"}'] == 0.25
    assert found['node_cpu_guest_seconds_total{cpu="0",mode="user"}'] == 0.05
    assert (found["node_boot_time_seconds"], found["node_procs_running"]) == (1_700_000_000, 3)
    assert (found["node_intr_total"], found["node_forks_total"]) == (12345, 4242)


def test_meminfo_spells_names_as_node_exporter() -> None:
    found = values(linux.meminfo_readings("MemTotal:  1000 kB\nActive(anon):  3 kB\nHugePages_Total:  7\n"))
    assert found == {
        "node_memory_MemTotal_bytes": 1_024_000,
        "node_memory_Active_anon_bytes": 3072,
        "node_memory_HugePages_Total": 7,
    }


def test_memory_used_on_new_and_old_kernels() -> None:
    new = "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 60 kB\n"
    old = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 25 kB\n"
    assert parse(section("meminfo", new) + section("end", "")).memory == (40 * 1024, 100 * 1024)
    assert parse(section("meminfo", old) + section("end", "")).memory == (60 * 1024, 100 * 1024)


def test_net_and_disks() -> None:
    net = values(linux.netdev_readings(NETDEV))
    assert net['node_network_receive_bytes_total{device="eth0"}'] == 9_999_999_999
    assert net['node_network_receive_multicast_total{device="eth0"}'] == 6
    assert net['node_network_transmit_bytes_total{device="eth0"}'] == 7
    assert net['node_network_transmit_carrier_total{device="eth0"}'] == 13
    disks = values(linux.diskstats_readings(DISKS))
    assert disks['node_disk_read_bytes_total{device="sda"}'] == 51_200
    assert disks['node_disk_io_time_seconds_total{device="sda"}'] == 4
    assert disks['node_disk_flush_requests_time_seconds_total{device="sda"}'] == 6
    assert disks['node_disk_reads_completed_total{device="nvme0n1"}'] == 1
    assert not [name for name in disks if "sda1" in name or "loop0" in name]


def test_filesystems_with_spaces_in_names() -> None:
    found = filesystems(DF, INODES)
    assert [item.mountpoint for item in found] == ["/", "/run", "/data/影像 归档"]
    root = values(filesystem_readings(found[:1]))
    labels = '{device="/dev/mapper/vg root",fstype="ext4",mountpoint="/"}'
    assert root["node_filesystem_size_bytes" + labels] == 1_024_000_000
    assert root["node_filesystem_free_bytes" + labels] == 600_000 * 1024
    assert root["node_filesystem_avail_bytes" + labels] == 500_000 * 1024
    assert root["node_filesystem_files_free" + labels] == 600
    assert found[2].files is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NTPSynchronized=no\n", {"node_timex_sync_status": 0}),
        ("NTPSynchronized=yes\n", {"node_timex_sync_status": 1}),
        (
            "         mode: 0\n       offset: -1500\n       status: 8193\n",
            {"node_timex_sync_status": 1, "node_timex_offset_seconds": -1.5e-6},
        ),
        (
            "       offset: 20\n       status: 64\n",
            {"node_timex_sync_status": 0, "node_timex_offset_seconds": 2e-5},
        ),
        (
            "C0A80101,10.0.0.1,3,1700000000.1,-0.000012,0.00002,0.00003,-1.1,0.0,0.1,0.02,0.001,64.2,Normal\n",
            {"node_timex_sync_status": 1, "node_timex_offset_seconds": -0.000012},
        ),
    ],
)
def test_clock_synchronisation(text: str, expected: dict[str, float]) -> None:
    assert values(linux.timex_readings(text)) == pytest.approx(expected)


def test_cpu_ratio_needs_two_looks_that_go_forward() -> None:
    first, second = CpuTimes(10, 100), CpuTimes(35, 200)
    assert cpu_ratio(None, first) is None
    assert cpu_ratio(first, second) == 0.25
    assert cpu_ratio(second, first) is None, "a reboot"
    assert cpu_ratio(first, first) is None
    snapshot = parse(section("stat", STAT) + section("end", ""))
    assert snapshot.cpu == CpuTimes(busy=pytest.approx(14.0), total=pytest.approx(95.0))


def test_the_script_runs_here_and_everything_is_understood() -> None:
    run = subprocess.run(["sh", "-c", linux.SCRIPT], capture_output=True, text=True, check=False, timeout=10)
    snapshot = parse(run.stdout)
    assert snapshot.complete
    assert snapshot.damaged == ()
    assert snapshot.uptime is not None
    names = {reading.name for reading in snapshot.readings}
    assert {
        "node_load1",
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_uname_info",
    } <= names
    assert {"node_os_info", "node_time_seconds", "node_filesystem_avail_bytes"} <= names
    keys = [(reading.name, reading.labels) for reading in snapshot.readings]
    assert len(keys) == len(set(keys))
    assert all(list(labels) == sorted(labels) for _, labels in keys)


def test_a_damaged_section_costs_only_itself() -> None:
    text = section("loadavg", "garbage") + section("meminfo", "MemTotal: 5 kB\n") + section("end", "")
    snapshot = parse(text)
    assert snapshot.damaged == ("loadavg",)
    assert [reading.name for reading in snapshot.readings] == ["node_memory_MemTotal_bytes"]


def test_a_cut_text_gives_its_whole_sections_only() -> None:
    text = section("loadavg", "1 2 3 4/5 6\n") + section("meminfo", "MemTotal: 100 kB\nMemAv")
    snapshot = parse(text)
    assert not snapshot.complete
    assert {reading.name for reading in snapshot.readings} == {"node_load1", "node_load5", "node_load15"}


NAMES = (
    "stat",
    "meminfo",
    "loadavg",
    "uptime",
    "net/dev",
    "diskstats",
    "uname",
    "time",
    "os-release",
    "timex",
    "df",
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=200)), max_size=8), st.booleans())
def test_no_text_makes_it_fail(parts: list[tuple[str, str]], complete: bool) -> None:
    text = "".join(section(name, body) for name, body in parts) + (section("end", "") if complete else "")
    parse(text)


@given(st.sampled_from([STAT, NETDEV, DISKS, DF]), st.integers(0, 700), st.text(max_size=5))
def test_no_damage_makes_it_fail(text: str, place: int, junk: str) -> None:
    damaged = text[:place] + junk + text[place + 1 :]
    for name in NAMES:
        parse(section(name, damaged) + section("end", ""))

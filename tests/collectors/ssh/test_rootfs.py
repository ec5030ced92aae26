"""An unpacked root is read as the system would see it, and nothing outside it is ever read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.ssh.facts import OFFLINE, build
from monitor.devices import FactRequest, RawFact, RootfsTarget
from monitor.errors import InputError

SECRET = "outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    made = tmp_path / "root"
    (made / "etc/ssh").mkdir(parents=True)
    (made / "usr/lib").mkdir(parents=True)
    (made / "usr/lib/os-release").write_text("ID=kylin\n")
    (made / "etc/os-release").symlink_to("../usr/lib/os-release")
    (made / "etc/absolute").symlink_to("/usr/lib/os-release")
    (made / "lib").symlink_to("usr/lib")
    (made / "etc/up").symlink_to("../../../../../../secret")
    (made / "etc/out").symlink_to(tmp_path / "secret")
    (made / "etc/loop").symlink_to("loop")
    (made / "etc/away").symlink_to("/../..")
    os.mkfifo(made / "etc/pipe")
    return made


def read(root: Path, *paths: str, max_bytes: int = 1000) -> list[RawFact]:
    requests = [FactRequest(path, path=path, max_bytes=max_bytes) for path in paths]
    return build().read(RootfsTarget(str(root)), requests)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/os-release",
        "/etc/os-release",
        "/etc/absolute",
        "/lib/os-release",
        "etc/os-release",
        "/etc/../../lib/os-release",
    ],
)
def test_files_and_links_inside(root: Path, path: str) -> None:
    (fact,) = read(root, path)
    assert (fact.text, fact.error, fact.exit_code, fact.source) == ("ID=kylin\n", "", 0, path)


@pytest.mark.parametrize(
    "path", ["/etc/up", "/etc/out", "/../secret", "/etc/away/secret", "/etc/ssh/../../../secret"]
)
def test_nothing_leads_out(root: Path, path: str) -> None:
    (fact,) = read(root, path)
    assert fact.text == ""
    assert fact.missing, "there is no such file inside"


@pytest.mark.parametrize("path", ["/etc/loop", "/etc/pipe", "/etc"])
def test_loops_pipes_and_folders_are_errors(root: Path, path: str) -> None:
    (fact,) = read(root, path)
    assert (fact.text, fact.missing, bool(fact.error)) == ("", False, True)


def test_a_file_where_a_folder_should_be_is_missing(root: Path) -> None:
    (fact,) = read(root, "/usr/lib/os-release/x")
    assert fact.missing


def test_long_files_are_refused(root: Path) -> None:
    short, long = read(root, "/usr/lib/os-release", max_bytes=9) + read(
        root, "/usr/lib/os-release", max_bytes=8
    )
    assert (short.error, long.error, long.text) == ("", "longer than 8 bytes", "")


def test_commands_need_a_running_system(root: Path) -> None:
    (fact,) = build().read(RootfsTarget(str(root)), [FactRequest("s", argv=("sshd", "-T"))])
    assert (fact.error, fact.text, fact.missing) == (OFFLINE, "", False)


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    read(root, "/etc/os-release", "/etc/up", "/etc/loop", "/none", "/etc/pipe")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rootfs:DIR"):
        read(tmp_path / "none", "/etc/passwd")

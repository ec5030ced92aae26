"""`zhishou assess SITE|DEVICE` and `zhishou evidence export|verify` against a registered sshd on the loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.context import opened
from monitor.errors import NotFoundError, UnreachableError, ZhishouError
from monitor.model import (
    CollectorId,
    Device,
    DeviceId,
    Grade,
    Inventory,
    Kind,
    Region,
    RegionId,
    Site,
    SiteId,
    SshAccess,
)
from rules.compliance.cli import assess, evidence
from tests.real.sshd import LoopbackSshd

pytestmark = pytest.mark.skipif(
    not Path("/usr/sbin/sshd").exists() or not shutil.which("ssh-keygen"), reason="no sshd"
)
CITY = RegionId("city")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with one hospital, whose server answers, and one whose server shows another host key."""
    folder = tmp_path_factory.mktemp("city")
    with LoopbackSshd(folder) as sshd:
        access = SshAccess("ops", port=sshd.port, host_key=sshd.host_key_fingerprint)
        good = Device(DeviceId("his-1"), SiteId("h1"), "his-1", Kind.SERVER, sshd.host, ssh=access)
        wrong = replace(
            good, id=DeviceId("pacs-1"), site=SiteId("h2"), ssh=replace(access, host_key="SHA256:" + "A" * 43)
        )
        switch = Device(DeviceId("switch"), SiteId("h1"), "switch", Kind.NETWORK, sshd.host)
        sites = [
            Site(SiteId(name), name, CITY, Grade.TERTIARY, level, CollectorId("c1"))
            for name, level in (("h1", 3), ("h2", 2), ("h3", 2))
        ]
        with opened(str(folder / "data")) as state:
            state.credentials.put("ops", "ssh", {"user": sshd.user, "private_key": sshd.private_key})
            devices = {d.id: d for d in (good, wrong, switch)}
            state.directory.replace(
                Inventory("city", {CITY: Region(CITY, "city")}, {s.id: s for s in sites}, devices)
            )
        yield folder / "data"


def call(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]


def test_a_site_is_assessed_stored_exported_and_verified(data: Path, tmp_path: Path) -> None:
    done = call(assess, "h1", "--data", data, "--json")
    assert done.exit_code in {0, 1}, done.output
    document = json.loads(done.stdout)
    assert document["level"] == 3
    assert document["assessment"] >= 1
    assert sum(document["totals"].values()) == 211
    assert {row["object"] for row in document["verdicts"]} == {"his-1"}
    assert {"LNX-001": "符合", "LNX-002": "符合"}.items() <= {
        row["check"]: row["verdict"] for row in document["verdicts"]
    }.items()
    assert "1/1 his-1" in done.stderr
    bundle = tmp_path / "h1.zip"
    exported = call(evidence, "export", "h1", "--out", bundle, "--data", data)
    assert exported.exit_code == 0, exported.output
    verified = call(evidence, "verify", bundle, "--json")
    assert verified.exit_code == 0
    answer = json.loads(verified.stdout)
    assert answer["ok"] is True
    assert answer["key"] in exported.stdout
    assert call(evidence, "verify", bundle, "--public-key", answer["key"]).exit_code == 0
    assert call(evidence, "verify", bundle, "--public-key", "00" * 32).exit_code == 1
    broken = bytearray(bundle.read_bytes())
    broken[len(broken) // 3] ^= 1
    bundle.write_bytes(broken)
    refused = call(evidence, "verify", bundle)
    assert refused.exit_code == 1
    assert "BROKEN" in refused.stdout


def test_a_device_is_assessed_at_the_level_of_its_site_or_as_asked(data: Path, tmp_path: Path) -> None:
    document = json.loads(call(assess, "his-1", "--data", data, "--json").stdout)
    assert document["level"] == 3
    done = call(assess, "his-1", "--level", "2", "--data", data, "--json", "--out", tmp_path)
    document = json.loads(done.stdout)
    assert document["level"] == 2
    assert sum(document["totals"].values()) == 135
    assert call(evidence, "verify", document["bundle"]["file"]).exit_code == 0


def test_a_device_with_another_host_key_is_not_logged_in_to(data: Path) -> None:
    failed = call(assess, "pacs-1", "--data", data)
    assert isinstance(failed.exception, UnreachableError)
    command = [sys.executable, "-m", "monitor.cli", "assess", "h2", "--data", str(data), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    site = json.loads(done.stdout)
    assert done.returncode == 0
    assert {row["verdict"] for row in site["verdicts"]} == {"未核查"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nobody",), NotFoundError),
        (("switch",), ZhishouError),
    ],
)
def test_targets_that_cannot_be_assessed(
    data: Path, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    assert isinstance(call(assess, *arguments, "--data", data).exception, error)


def test_a_site_without_an_assessment_has_no_evidence(data: Path, tmp_path: Path) -> None:
    for site in ("h3", "nobody"):
        failed = call(evidence, "export", site, "--out", tmp_path / "x.zip", "--data", data)
        assert isinstance(failed.exception, NotFoundError)
    assert isinstance(call(evidence, "verify", tmp_path / "x.zip").exception, ZhishouError)

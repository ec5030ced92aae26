"""A bundle proves itself: whole, or exactly what was changed, removed, added or reordered."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from openpyxl import load_workbook

from rules.compliance import catalogue, verifier
from rules.compliance.check import load_checks
from rules.compliance.evidence import Assessed, bundle
from rules.compliance.facts import Facts
from rules.compliance.interface import Judgement, Line, Verdict
from rules.compliance.judge import by_requirement, judge
from rules.compliance.record import HEADER
from rules.compliance.scoring import score_2025
from rules.compliance.signing import Signer, one_time_signer
from tests.rules.compliance.samples import NOON, fact

SIGNER = one_time_signer()


def assessed(requirements: int = 211, extra: tuple[Judgement, ...] = ()) -> Assessed:
    facts = [
        fact("passwd", "root:x:0:0::/root:/bin/sh\n"),
        fact("shadow", "root:$6$salt$verysecrethash:1:0:90:7:::\nguest::1:0:90:7:::\n"),
        fact("pam", "/etc/pam.d/su:auth sufficient pam_rootok.so\n"),
        fact("exports", "", missing=True),
        fact("listeners", "", error="timed out"),
    ]
    rows = catalogue.load(3)[:requirements]
    judgements = (*judge("his-db-1", Facts(facts), load_checks(), 3), *extra)
    verdicts = by_requirement(rows, judgements)
    return Assessed(
        subject="hospital-1",
        number=7,
        level=3,
        started_at=NOON,
        finished_at=NOON + 1500,
        collector="zhishou 0",
        requirements=rows,
        judgements=judgements,
        facts={"his-db-1": facts, "主机/2": facts[:1]},
        score=score_2025(verdicts, 1),
        profile={"name": "2025"},
    )


BUNDLE = bundle(assessed(), SIGNER)
SMALL = bundle(assessed(requirements=1), SIGNER)


def entries(data: bytes = BUNDLE) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def signed_again(listed: list[tuple[str, bytes]], signer: Signer) -> bytes:
    """What a forger with a key of their own can do."""
    contents = dict(listed)
    signature = verifier.signature_file(signer.public, signer.sign(contents[verifier.MANIFEST]))
    return verifier.canonical_zip([(n, signature if n == verifier.SIGNATURE else d) for n, d in listed])


def test_a_fresh_bundle_is_whole_and_repeatable() -> None:
    assert verifier.verify(BUNDLE) == ([], SIGNER.fingerprint)
    assert verifier.verify(BUNDLE, SIGNER.public) == ([], SIGNER.fingerprint)
    assert verifier.verify(BUNDLE, SIGNER.fingerprint) == ([], SIGNER.fingerprint)
    assert bundle(assessed(), SIGNER) == BUNDLE


def test_the_manifest_says_what_was_read_and_how() -> None:
    manifest = json.loads(dict(entries())["manifest.json"])
    shadow = next(f for f in manifest["facts"] if f["fact"] == "shadow")
    assert shadow["source"] == "/etc/shadow"
    assert shadow["read_at"] == "2026-11-21T12:00:00.000Z"
    assert {"exit_code", "time_source", "host_key", "sha256", "sm3", "unmasked_sha256"} <= set(shadow)
    assert next(f for f in manifest["facts"] if f["fact"] == "exports")["missing"] is True
    assert next(f for f in manifest["facts"] if f["fact"] == "listeners")["error"] == "timed out"
    assert manifest["collector_version"] == "zhishou 0"
    assert "自查" in manifest["statement"]


def test_sm3_of_the_standard() -> None:
    """GB/T 32905, example 1."""
    from rules.compliance.collect import sm3

    assert sm3(b"abc") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_no_secret_is_in_a_bundle() -> None:
    assert b"verysecrethash" not in b"".join(data for _, data in entries())
    assert b"$6$<masked>" in b"".join(data for _, data in entries())


def test_any_changed_byte_is_found() -> None:
    chosen = random.Random(4)
    ends = len(SMALL)
    directory = SMALL.index(b"PK\x01\x02")
    offsets = {*range(80), *range(ends - 120, ends), *range(directory, directory + 120)}
    offsets |= {chosen.randrange(ends) for _ in range(150)}
    missed = []
    for offset in sorted(offsets):
        data = bytearray(SMALL)
        data[offset] ^= 1 << chosen.randrange(8)
        if not verifier.verify(bytes(data))[0]:
            missed.append(offset)
    assert missed == []


def test_any_changed_byte_of_headers_and_signature_is_found() -> None:
    """Every byte outside the record sheet's own body, each with one flipped bit."""
    record = SMALL.index(b"report/record.xlsx")
    missed = []
    for offset in [*range(0, record, 7), *range(record, record + 60), *range(len(SMALL) - 900, len(SMALL))]:
        data = bytearray(SMALL)
        data[offset] ^= 0x20  # flips the case of letters
        if not verifier.verify(bytes(data))[0]:
            missed.append(offset)
    assert missed == []


@pytest.mark.parametrize("extra", [b"\0", b"PK", b"trailing"])
def test_bytes_before_after_and_in_the_comment(extra: bytes) -> None:
    assert verifier.verify(BUNDLE + extra)[0]
    assert verifier.verify(extra + BUNDLE)[0]
    commented = BUNDLE[:-2] + len(extra).to_bytes(2, "little") + extra
    assert verifier.verify(commented)[0]


def test_cut_short() -> None:
    for length in (0, 1, 21, 22, 100, len(BUNDLE) - 1):
        assert verifier.verify(BUNDLE[:length])[0]


def test_a_changed_entry_is_named() -> None:
    listed = [(n, d.replace(b"guest", b"ghost") if n.endswith("shadow.txt") else d) for n, d in entries()]
    problems, _ = verifier.verify(verifier.canonical_zip(listed))
    assert problems == ["changed: facts/001-his-db-1/shadow.txt"]


def test_a_removed_an_added_and_a_moved_entry_are_named() -> None:
    listed = entries()
    removed = [(n, d) for n, d in listed if n != "verdicts.json"]
    assert verifier.verify(verifier.canonical_zip(removed))[0] == ["removed: verdicts.json"]
    added = [*listed, ("facts/new.txt", b"x")]
    assert verifier.verify(verifier.canonical_zip(added))[0] == ["added: facts/new.txt"]
    moved = [*listed[:2], *listed[3:], listed[2]]
    assert verifier.verify(verifier.canonical_zip(moved))[0] == [
        "reordered: the entries are not in the order of the manifest"
    ]
    doubled = [*listed, listed[-1]]
    assert any("occurs twice" in p for p in verifier.verify(verifier.canonical_zip(doubled))[0])
    without = [(n, d) for n, d in listed if n != "signature.json"]
    assert verifier.verify(verifier.canonical_zip(without))[0] == ["removed: signature.json"]


def test_a_changed_manifest_breaks_the_signature() -> None:
    listed = [
        (n, d.replace(b'"level": 3', b'"level": 2') if n == "manifest.json" else d) for n, d in entries()
    ]
    problems, _ = verifier.verify(verifier.canonical_zip(listed))
    assert problems == ["changed: manifest.json or signature.json, the signature does not fit"]


def test_a_forger_with_another_key_is_found_by_the_key() -> None:
    forged = signed_again(entries(), one_time_signer())
    assert verifier.verify(forged)[0] == []
    assert verifier.verify(forged, SIGNER.public)[0][0].startswith("signed by another key")


def test_a_forger_with_the_key_cannot_break_the_chain_unseen() -> None:
    manifest = json.loads(dict(entries())["manifest.json"])
    manifest["entries"][1], manifest["entries"][2] = manifest["entries"][2], manifest["entries"][1]
    raw = json.dumps(manifest).encode()
    listed = [(n, raw if n == "manifest.json" else d) for n, d in entries()]
    problems, _ = verifier.verify(signed_again(listed, SIGNER))
    assert any("hash chain" in problem for problem in problems)


def test_a_signature_file_in_another_form_is_refused() -> None:
    for change in ((b"\n}", b" \n}"), (b'"Ed25519"', b'"ed25519"')):
        listed = [(n, d.replace(*change) if n == "signature.json" else d) for n, d in entries()]
        assert verifier.verify(verifier.canonical_zip(listed))[0]
    upper = json.loads(dict(entries())["signature.json"])
    raw = verifier.signature_file(upper["public_key"], upper["signature"].upper())
    listed = [(n, raw if n == "signature.json" else d) for n, d in entries()]
    assert verifier.verify(verifier.canonical_zip(listed))[0]


def test_zipped_again_by_another_program() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries():
            archive.writestr(name, data)
    (problem,) = verifier.verify(buffer.getvalue())[0]
    assert "bytes of the ZIP" in problem


def test_a_bundle_that_unpacks_to_more_than_itself_is_not_unpacked() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"facts/{number}.txt", bytes(8 << 20))
    tracemalloc.start()
    try:
        problems, _mark = verifier.verify(buffer.getvalue())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than the file" in problems[0]
    assert most < 4 << 20


def test_the_verifier_stands_alone(tmp_path: Path) -> None:
    source = Path(verifier.__file__)
    assert len(source.read_text("utf-8").splitlines()) <= 200
    shutil.copy(source, tmp_path / "verifier.py")
    (tmp_path / "good.zip").write_bytes(BUNDLE)
    bad = bytearray(BUNDLE)
    bad[len(bad) // 2] ^= 1
    (tmp_path / "bad.zip").write_bytes(bad)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "verifier.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    good = call("good.zip", "--public-key", SIGNER.public)
    assert good.returncode == 0
    assert SIGNER.fingerprint in good.stdout
    assert call("bad.zip").returncode == 1
    assert "changed" in call("bad.zip").stdout
    assert call("missing.zip").returncode == 2
    assert call().returncode == 2


def test_the_record_sheet() -> None:
    hostile = Judgement(
        "8.1.4.1",
        "b",
        "X-1",
        "=cmd|'/c calc'!A1",
        Verdict.FAIL,
        "原因",
        "why",
        (Line("f", 1, "bell\x07"),),
    )
    data = dict(entries(bundle(assessed(extra=(hostile,)), SIGNER)))["report/record.xlsx"]
    book = load_workbook(BytesIO(data))
    cover = " ".join(str(cell.value) for row in book["自查说明"].iter_rows() for cell in row)
    assert "自查" in cover
    assert "测评结论" not in cover
    rows = list(book["自查记录表"].iter_rows(values_only=True))
    assert rows[0] == HEADER
    assert len(rows) - 1 == 212  # 8.1.4.1.b has two objects
    by_item = {(row[1], row[2]): row for row in rows[1:]}
    row = by_item["8.1.4.1", "a"]
    assert row[0] == "L3-CES1-01"
    assert row[6] == "his-db-1"
    assert row[8] == "不符合"
    assert "LNX-001 不符合:存在空口令账户:guest" in str(row[9])
    assert "shadow:2: guest::1:0:90:7:::" in str(row[10])
    assert by_item["8.1.1.1", "a"][8] == "未核查"
    for line in book["自查记录表"].iter_rows():
        assert all(cell.data_type in {"s", "n"} for cell in line)  # "f" would be a formula
    assert "=cmd|'/c calc'!A1" in [row[6] for row in rows]

"""Collecting: one session, each fact once, and the difference between empty, missing and unreadable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from monitor.devices import FactRequest, RawFact, RootfsTarget, SshTarget, fact_reader
from monitor.errors import InputError
from rules.compliance.check import Check, load_checks, passed
from rules.compliance.collect import collect, sm3
from rules.compliance.facts import Facts, NotCollectedError
from rules.compliance.sources import SOURCES, sources

HOST = SshTarget("10.0.0.1", password="x")


class Reader:
    """Answers every request with the same text and exit code."""

    def __init__(self, text: str = "", exit_code: int = 0, stderr: str = "") -> None:
        self.sessions: list[Sequence[FactRequest]] = []
        self._raw = (text, exit_code, {"stderr": stderr} if stderr else {})

    def read(self, target: SshTarget | RootfsTarget, requests: Sequence[FactRequest]) -> list[RawFact]:
        assert target == HOST
        self.sessions.append(requests)
        text, code, extra = self._raw
        gone = code == 127
        return [
            RawFact(r.id, "", text, code, 9, missing=gone, host_key="SHA256:k", extra=extra) for r in requests
        ]


def needing(*facts: str, level: int = 3) -> list[Check]:
    return [Check("X", "8.1.4.1.a", "x", "x", facts, lambda _: passed("好", "ok"), frozenset({level}))]


def test_all_checks_take_one_session_and_each_fact_once() -> None:
    reader = Reader()
    facts = collect(reader, HOST, load_checks(), 3)
    (requests,) = reader.sessions
    ids = [request.id for request in requests]
    assert len(ids) == len(set(ids))
    assert (
        set(ids) == {fact for check in load_checks() for fact in check.facts} == {fact.id for fact in facts}
    )


def test_every_source_is_used_and_names_one_place() -> None:
    used = {fact for check in load_checks() for fact in check.facts}
    assert used == set(SOURCES)
    for source in SOURCES.values():
        assert [bool(source.path), bool(source.folder), bool(source.argv)].count(True) == 1
        assert not source.folder or source.request().argv[-1] == source.folder


def test_commands_only_read() -> None:
    programs = {source.request().argv[0] for source in SOURCES.values() if source.request().argv}
    assert programs == {
        "/usr/sbin/sshd", "ss", "ps", "chronyc", "timedatectl", "stat", "dpkg-query", "rpm", "find", "grep",
    }  # fmt: skip
    words = {word for source in SOURCES.values() for word in source.request().argv}
    assert not words & {"-delete", "-exec", "-ok", "-fprint", "sh", "bash", "sudo"}


def test_only_the_level_that_is_asked() -> None:
    reader = Reader()
    collect(reader, HOST, needing("passwd", level=2), 3)
    assert reader.sessions == []


def test_an_unknown_fact_is_named() -> None:
    with pytest.raises(InputError, match="nonsense"):
        sources(["nonsense"])


def test_masked_text_and_the_hash_of_what_was_read() -> None:
    text = "root:$6$salt$secret:1:0:90:7:::\n"
    (fact,) = collect(Reader(text), HOST, needing("shadow"), 3)
    assert "secret" not in fact.text
    assert fact.raw_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert fact.raw_sm3 == sm3(text.encode())
    assert (fact.host_key, fact.read_at_ms) == ("SHA256:k", 9)


@pytest.mark.parametrize(
    ("code", "text", "stderr", "readable"),
    [
        (0, "/etc/sudoers.d/a:x\n", "", True),
        (1, "", "", True),
        (2, "", "grep: /etc/sudoers.d: No such file or directory", True),
        (2, "", "grep: /etc/sudoers.d: Permission denied", False),
        (2, "/etc/sudoers.d/a:x\n", "grep: /etc/sudoers.d/b: Permission denied", False),
        (2, "", "", False),
        (2, "", "grep: unrecognized option: include=*", False),
        (2, "/etc/sudoers.d/a:x\n", "grep: /etc/sudoers.d/gone: No such file or directory", True),
        (127, "", "", False),
    ],
)
def test_folders_that_are_empty_missing_or_closed(
    code: int, text: str, stderr: str, *, readable: bool
) -> None:
    facts = collect(Reader(text, code, stderr), HOST, needing("sudoers-d"), 3)
    if readable:
        assert [row.text for row in facts.rows("sudoers-d")] == (["x"] if text else [])
    else:
        with pytest.raises(NotCollectedError):
            facts.rows("sudoers-d")


def test_a_command_that_fails_without_a_word_is_not_an_empty_answer() -> None:
    facts = collect(Reader("", 1), HOST, needing("listeners"), 3)
    with pytest.raises(NotCollectedError, match="exit code 1"):
        facts.rows("listeners")
    assert collect(Reader("tcp\n", 1), HOST, needing("listeners"), 3).rows("listeners")


def test_folders_of_an_unpacked_root_follow_links_inside_it_only(tmp_path: Path) -> None:
    root, pam = tmp_path / "root", tmp_path / "root/etc/pam.d"
    (root / "etc/authselect").mkdir(parents=True)
    pam.mkdir()
    (root / "etc/authselect/system-auth").write_text("auth required pam_unix.so\n", "utf-8")
    (tmp_path / "secret").write_text("outside\n", "utf-8")
    (pam / "system-auth").symlink_to("/etc/authselect/system-auth")
    (pam / "escape").symlink_to("../../../secret")
    (pam / "absolute").symlink_to(tmp_path / "secret")
    (pam / "dangling").symlink_to("nowhere")
    facts: Facts = collect(fact_reader(), RootfsTarget(str(root)), needing("pam"), 3)
    rows = facts.rows("pam")
    assert [(row.file, row.text) for row in rows] == [("/etc/pam.d/system-auth", "auth required pam_unix.so")]
    assert rows[0].line.text == "/etc/pam.d/system-auth:auth required pam_unix.so"

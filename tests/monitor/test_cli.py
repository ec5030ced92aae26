"""How the program ends when a command does not: one sentence, and an exit code that says why."""

from __future__ import annotations

import sys

import click
import pytest

import monitor.cli


def ended_by(fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of a command that raises."""

    @click.command()
    def command() -> None:
        raise fault

    monkeypatch.setattr(monitor.cli, "program", command)
    monkeypatch.setattr(sys, "argv", ["zhishou"])
    with pytest.raises(SystemExit) as ended:
        monitor.cli.main()
    return ended.value.code


def test_an_interrupt_is_the_user_and_says_aborted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_by(KeyboardInterrupt(), monkeypatch) == 2
    assert "aborted" in capsys.readouterr().err


def test_an_end_of_what_is_read_is_not_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A peer that hangs up in the middle is no user who changed his mind."""
    assert ended_by(EOFError(), monkeypatch) == 3
    assert "aborted" not in capsys.readouterr().err

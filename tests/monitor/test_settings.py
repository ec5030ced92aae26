"""Settings: order of sources, clear errors, hidden secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InputError
from monitor.settings import Settings, load_settings


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "zhishou.yml").write_text("listen: 127.0.0.1:1\nretention_days: 9\nlog_level: debug\n")
    environ = {"ZHISHOU_DATA": str(tmp_path), "ZHISHOU_LISTEN": "127.0.0.1:2", "ZHISHOU_RETENTION_DAYS": "8"}
    settings = load_settings(flags={"listen": "127.0.0.1:3", "data": None}, environ=environ)
    assert (settings.listen, settings.retention_days, settings.log_level) == ("127.0.0.1:3", 8, "debug")
    assert settings.folder == tmp_path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ZHISHOU_RETENTION_DAYS": "many"}, "'many' is not a int"),
        ({"ZHISHOU_NO_SUCH": "1"}, "unknown setting 'no_such'"),
        ({"ZHISHOU_INSECURE_LOCAL_API": "perhaps"}, "'perhaps' is not a bool"),
        ({"ZHISHOU_EVENT_RETENTION_DAYS": "179"}, "below 180"),
    ],
)
def test_bad_values_are_refused_with_their_place(
    environ: dict[str, str], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=expected):
        load_settings(environ={"ZHISHOU_DATA": str(tmp_path), **environ})


@pytest.mark.parametrize("text", ["- a list", "listen: [", "listen: 1\x002"])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "zhishou.yml").write_text(text)
    with pytest.raises(InputError, match=r"zhishou\.yml"):
        load_settings(environ={"ZHISHOU_DATA": str(tmp_path)})


def test_what_is_wrong_in_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    for text, expected in [
        ("listen: 127.0.0.1:1\nlisen: 127.0.0.1:2\n", r"zhishou\.yml:2 \(lisen\).*unknown setting"),
        ("\nretention_days: long\n", r"zhishou\.yml:2 \(retention_days\).*not a int"),
        ("listen: a\nlisten: b\n", r"zhishou\.yml:2.*duplicate"),
        ("x: &a 1\nlisten: *a\n", r"zhishou\.yml:1.*anchors"),
        ("data: " + "[" * 100, r"zhishou\.yml:1.*nested"),
    ]:
        (tmp_path / "zhishou.yml").write_text(text)
        with pytest.raises(InputError, match=expected):
            load_settings(environ={"ZHISHOU_DATA": str(tmp_path)})


def test_addresses_that_carry_a_password_or_key_are_not_shown() -> None:
    shown = Settings(
        database_url="postgresql+psycopg://u:geheim@h/z",
        webhook_url="https://h/robot/send?access_token=geheim",
    ).public()
    assert "geheim" not in str(shown)


def test_secrets_are_not_shown() -> None:
    shown = Settings(vault_key="QUJD", smtp_url="smtp://u:geheim@h").public()
    assert shown["vault_key"] == shown["smtp_url"] == "********"
    assert shown["webhook_secret"] == ""
    assert "geheim" not in repr(shown)

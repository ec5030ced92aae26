"""Replays of signed messages, across restarts too."""

from __future__ import annotations

from pathlib import Path

from collectors.receivers.freshness import Freshness

ENGINE = bytes.fromhex("80001f8801020304")
NOW = 1_700_000_000_000


def test_a_message_is_taken_once() -> None:
    known = Freshness()
    assert known.judge(ENGINE, 1, 1000, b"a", NOW) == ""
    assert known.judge(ENGINE, 1, 1000, b"b", NOW) == ""
    assert known.judge(ENGINE, 1, 1000, b"a", NOW + 1000) == "replay"
    assert known.judge(b"other-engine", 1, 1000, b"a", NOW) == ""


def test_messages_may_overtake_each_other_within_the_window() -> None:
    known = Freshness()
    assert known.judge(ENGINE, 1, 1000, b"a", NOW) == ""
    assert known.judge(ENGINE, 1, 851, b"b", NOW) == ""
    assert known.judge(ENGINE, 1, 849, b"c", NOW) == "window"


def test_old_boots_and_the_last_boot_are_refused_and_a_new_one_is_taken() -> None:
    known = Freshness()
    assert known.judge(ENGINE, 5, 1000, b"a", NOW) == ""
    assert known.judge(ENGINE, 6, 3, b"b", NOW) == ""
    assert known.judge(ENGINE, 5, 1001, b"c", NOW) == "window"
    assert known.judge(ENGINE, 0x7FFFFFFF, 1, b"d", NOW) == "window"


def test_a_message_that_was_held_back_is_refused_but_a_slow_clock_is_not() -> None:
    known = Freshness()
    day = 86_400
    assert known.judge(ENGINE, 1, 1000, b"a", NOW) == ""
    assert known.judge(ENGINE, 1, 1001, b"held", NOW + day * 1000) == "window"
    assert known.judge(ENGINE, 1, 1000 + day - 600, b"slow", NOW + day * 1000) == ""


def test_a_flood_of_signed_messages_does_not_open_the_door_again() -> None:
    known = Freshness()
    for number in range(20_100):
        assert known.judge(ENGINE, 1, 1000 + number // 1000, b"%d" % number, NOW) == ""
    assert known.judge(ENGINE, 1, 1000, b"0", NOW) == "window", "forgotten, so refused by its time"
    assert known.judge(ENGINE, 1, 1020, b"20050", NOW) == "replay"


def test_what_was_seen_before_a_restart_stays_seen(tmp_path: Path) -> None:
    path = tmp_path / "engines.json"
    known = Freshness()
    known.judge(ENGINE, 1, 1000, b"a", NOW)
    known.save(path)
    later = Freshness()
    later.load(path)
    assert later.judge(ENGINE, 1, 1000, b"a", NOW + 1000) == "window"
    assert later.judge(ENGINE, 1, 1002, b"new", NOW + 1000) == ""
    path.write_text("{]")
    Freshness().load(path)
    Freshness().load(tmp_path / "missing")

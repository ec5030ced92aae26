"""A reader beside the log: positions, segments the store is done with, damage, restarts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.metrics.wal import WriteAheadLog, frame
from monitor.metrics.wal_reader import Position, WalReader


def payloads(reader: WalReader, position: Position = Position()) -> list[bytes]:  # noqa: B008  frozen
    return [found.payload for found in reader.frames(position)]


def end(reader: WalReader, position: Position = Position()) -> Position:  # noqa: B008  frozen
    return [found.after for found in reader.frames(position)][-1]


def log_of(folder: Path, *segments: list[bytes]) -> None:
    """Segment files 1, 2 ... with these payloads."""
    for number, content in enumerate(segments, 1):
        (folder / f"{number:08d}.seg").write_bytes(b"".join(map(frame, content)))


def test_it_follows_a_growing_log_across_segments(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.start()
    reader = WalReader(tmp_path)
    assert payloads(reader) == []
    log.append(b"one", 1)
    log.append(b"two", 2)
    position = end(reader)
    assert payloads(reader) == [b"one", b"two"]
    assert payloads(reader, position) == []
    log.rotate()
    log.append(b"three", 3)
    assert payloads(reader, position) == [b"three"]
    assert reader.pending_bytes(position) == len(frame(b"three"))
    assert reader.pending_bytes(end(reader, position)) == 0
    log.close()


def test_segments_the_store_is_done_with_stay_until_they_are_passed(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    reader = WalReader(tmp_path)
    log.retire = reader.retire
    log.start()
    for number in range(3):
        log.append(b"payload %d" % number, number)
        log.rotate()
    first = next(reader.frames(Position())).after
    log.remove_before(100)
    assert [segment.number for segment in reader.kept()] == [1, 2, 3]
    assert payloads(reader, first) == [b"payload 1", b"payload 2"]
    position = end(reader, first)
    reader.release(position)
    assert [segment.number for segment in reader.kept()] == [3]
    log.append(b"payload 3", 3)
    assert payloads(reader, position) == [b"payload 3"]
    log.close()
    assert reader.missing == 0


def test_the_store_does_not_replay_what_only_the_reader_needs(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    reader = WalReader(tmp_path)
    log.retire = reader.retire
    log.start()
    log.append(b"sealed", 1)
    log.rotate()
    log.append(b"open", 200)
    log.remove_before(100)
    log.close()
    again = WriteAheadLog(tmp_path)
    assert [payload for _, reading in again.recover() for payload in reading.payloads] == [b"open"]
    assert payloads(reader) == [b"sealed", b"open"]


def test_numbers_have_no_gaps_after_restarts_without_data(tmp_path: Path) -> None:
    reader = WalReader(tmp_path)
    for number in range(4):
        log = WriteAheadLog(tmp_path)
        log.retire = reader.retire
        assert sum(len(reading.payloads) for _, reading in log.recover()) <= 1
        log.start()
        if number in (0, 3):
            log.append(b"payload %d" % number, 1)
            log.rotate()
            log.remove_before(100)
        log.close()
    first = next(reader.frames(Position())).after
    assert payloads(reader, first) == [b"payload 3"]
    assert reader.missing == 0


def test_a_lost_segment_is_noticed_once(tmp_path: Path) -> None:
    log_of(tmp_path, [b"a"], [b"b"], [b"c"], [b"d"])
    reader = WalReader(tmp_path)
    first = next(reader.frames(Position())).after
    (tmp_path / "00000002.seg").unlink()
    assert payloads(reader, first) == [b"c", b"d"]
    assert payloads(reader, first) == [b"c", b"d"]
    assert reader.missing == 1


def test_a_mended_segment_is_read_again_rather_than_in_the_middle(tmp_path: Path) -> None:
    log_of(tmp_path, [b"a", b"bb", b"ccc", b"dddd"])
    reader = WalReader(tmp_path)
    position = [found.after for found in reader.frames(Position())][1]
    log_of(tmp_path, [b"bb", b"ccc", b"dddd"])
    assert payloads(reader, position) == [b"bb", b"ccc", b"dddd"]


def test_an_older_log_restored_from_a_backup_is_read_from_its_start(tmp_path: Path) -> None:
    log_of(tmp_path, [b"a"], [b"b"])
    reader = WalReader(tmp_path)
    assert payloads(reader, Position(7, 40, 20, 1)) == [b"a", b"b"]
    assert reader.pending_bytes(Position(7, 40, 20, 1)) == len(frame(b"a")) + len(frame(b"b"))


def test_damage_is_skipped_and_counted_once(tmp_path: Path) -> None:
    log_of(tmp_path, [b"a" * 40, b"b" * 40, b"c" * 40], [b"d"])
    path = tmp_path / "00000001.seg"
    data = bytearray(path.read_bytes())
    data[len(frame(b"a" * 40)) + 17] ^= 0xFF
    path.write_bytes(data)
    reader = WalReader(tmp_path)
    assert payloads(reader) == [b"a" * 40, b"c" * 40, b"d"]
    assert payloads(reader) == [b"a" * 40, b"c" * 40, b"d"]
    assert reader.damaged == 1


def test_an_unfinished_append_is_waited_for_and_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "00000001.seg"
    whole = frame(b"one") + frame(b"two")
    reader = WalReader(tmp_path)
    for size in range(len(frame(b"one")), len(whole)):
        path.write_bytes(whole[:size])
        assert payloads(reader) == [b"one"]
    path.write_bytes(whole)
    assert payloads(reader) == [b"one", b"two"]
    assert reader.damaged == 0


@settings(deadline=None)
@given(
    contents=st.lists(st.lists(st.binary(max_size=40), max_size=4), min_size=1, max_size=4),
    kept=st.integers(0, 3),
    stop=st.integers(0, 15),
)
def test_reading_in_two_goes_gives_every_frame_once(
    tmp_path_factory: pytest.TempPathFactory, contents: list[list[bytes]], kept: int, stop: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log_of(folder, *contents)
    reader = WalReader(folder)
    for number in range(1, min(kept, len(contents) - 1) + 1):
        reader.retire(folder / f"{number:08d}.seg")
    position = Position()
    first: list[bytes] = []
    for found in reader.frames(position):
        if len(first) == stop:
            break
        first.append(found.payload)
        position = found.after
    assert first + payloads(reader, position) == [payload for content in contents for payload in content]
    assert (reader.damaged, reader.missing) == (0, 0)


def test_kept_segments_tell_size_and_age(tmp_path: Path) -> None:
    log_of(tmp_path, [b"a"], [b"b"])
    os.utime(tmp_path / "00000001.seg", (5, 5))
    reader = WalReader(tmp_path)
    reader.retire(tmp_path / "00000001.seg")
    (segment,) = reader.kept()
    assert (segment.number, segment.size, segment.written_ms) == (1, len(frame(b"a")), 5000)

"""Layers of pieces as one window: groups of different lengths, and groups nobody asked for."""

from __future__ import annotations

import numpy as np

from monitor.metrics.assemble import assemble
from monitor.metrics.interface import Codes, make_labels
from monitor.metrics.piece import HOLE, NEVER, Piece

NAMES = [make_labels({}, f"m{number}") for number in range(2)]


def codes(*numbers: int) -> Codes:
    return np.array(numbers, np.int32)


def one(series: int, *samples: tuple[int, float]) -> Piece:
    """A piece of one series."""
    times = np.array([[time] for time, _ in samples], np.int64)
    values = np.array([[value] for _, value in samples])
    return Piece(codes(series), codes(0), np.array([len(samples)]), times, values)


def test_a_longer_group_beside_that_nobody_asked_for_makes_no_room() -> None:
    newest = Piece(
        codes(0),
        codes(0),
        np.array([1, 2]),
        np.array([[2000, 1000], [NEVER, 2000]]),
        np.array([[5.0], [HOLE]]),
    )
    window = assemble(NAMES[:1], codes(0), [[one(0, (1000, 4.0))], [newest]])
    assert window.timestamps[:, window.group[0]].tolist() == [1000, 2000]
    assert window.values[:, 0].tolist() == [4.0, 5.0]


def test_groups_of_different_depth_keep_their_own_rows() -> None:
    layers = [[one(0, (1, 1.0)), one(1, (1, 7.0), (2, 8.0))], [one(0, (3, 2.0))]]
    window = assemble(NAMES, codes(0, 1), layers)
    found = {
        labels: [
            (int(window.timestamps[row, window.group[at]]), float(window.values[row, at]))
            for row in np.flatnonzero(window.present[:, at]).tolist()
        ]
        for at, labels in enumerate(window.labels)
    }
    assert found == {NAMES[0]: [(1, 1.0), (3, 2.0)], NAMES[1]: [(1, 7.0), (2, 8.0)]}


def test_a_series_without_a_sample_is_left_out() -> None:
    empty = Piece(codes(1), codes(0), np.array([1]), np.array([[1]]), np.array([[HOLE]]))
    window = assemble(NAMES, codes(0, 1), [[one(0, (1, 1.0)), empty]])
    assert list(window.labels) == NAMES[:1]

"""Selections from windows: for what does not come from the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.interface import STALE_BITS, Codes, Floats, Ints, Labels, Part, Selection, Window
from monitor.metrics.piece import HOLE, NEVER, Piece, odd_columns
from monitor.metrics.series import Listed, SeriesSet

_CANONICAL_NAN = np.array([0x7FF8000000000001], np.uint64).view(np.float64)


def canonical(values: Floats) -> Floats:
    """Every NaN but the staleness marker as Prometheus's canonical NaN."""
    odd = np.isnan(values)
    if not odd.any():
        return values
    odd &= values.view(np.uint64) != STALE_BITS
    return np.where(odd, _CANONICAL_NAN, values)


def of_window(window: Window, labels: SeriesSet | None = None) -> Selection:
    """The selection of one part that a window makes; `labels` are its own, when they are at hand as a set."""
    held = np.zeros(window.timestamps.shape, np.bool_)
    rows, columns = np.nonzero(window.present)
    held[rows, window.group[columns]] = True
    return _whole(
        labels if labels is not None else Listed(window.labels),
        window.group,
        np.where(held, window.timestamps, NEVER),
        np.where(window.present, canonical(window.values), HOLE),
    )


def of_piece(piece: Piece, labels: Sequence[Labels]) -> Selection:
    """The selection of one part that a piece makes; series [i] of the piece is named by labels [i]."""
    return _whole(Listed(labels), piece.group, piece.timestamps, piece.values)


def _whole(labels: SeriesSet, group: Codes, timestamps: Ints, values: Floats) -> Selection:
    values = np.ascontiguousarray(values)
    falling = np.zeros(len(values), np.bool_)
    falling[1:] = (values[1:] < values[:-1]).any(1)
    return Selection(labels, [Part(labels, group, timestamps, values, odd_columns(values), falling)])

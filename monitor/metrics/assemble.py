"""A window from layers of pieces, as readers of whole windows want it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.metrics.interface import Codes, Labels, Window
from monitor.metrics.layers import Layer, stack
from monitor.metrics.piece import is_present


def assemble(labels: Sequence[Labels], series: Codes, layers: Sequence[Layer]) -> Window:
    """The window of `series` (ascending, named by `labels`); series without any sample are left out."""
    piece = stack(layers)
    present = is_present(piece.values)
    keep = np.flatnonzero(present.any(0))
    if len(keep) == len(series):
        return Window(labels, piece.group, piece.timestamps, piece.values, present)
    used, group = np.unique(piece.group[keep], return_inverse=True)
    return Window(
        [labels[at] for at in np.searchsorted(series, piece.series[keep]).tolist()],
        group.astype(np.int32),
        np.take(piece.timestamps, used, axis=1),
        np.take(piece.values, keep, axis=1),
        np.take(present, keep, axis=1),
    )

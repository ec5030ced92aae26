"""Geometry of the small server-drawn SVG pictures. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence


def spark_path(values: Sequence[float | None], width: float, height: float) -> str:
    """The path of a sparkline; a missing value leaves a gap, a flat line stays at the bottom."""
    known = [v for v in values if v is not None and v == v]  # noqa: PLR0124 - NaN is not equal to itself
    if not known:
        return ""
    low = min(0.0, *known)
    scale = (height - 3) / ((max(known) - low) or 1)
    step = width / max(1, len(values) - 1)
    parts, pen = [], "M"
    for position, value in enumerate(values):
        if value is None or value != value:  # noqa: PLR0124 - NaN is not equal to itself
            pen = "M"
            continue
        parts.append(f"{pen}{position * step:.1f} {height - 1.5 - (value - low) * scale:.1f}")
        pen = "L"
    return " ".join(parts)


def bar_segments(counts: Sequence[tuple[int, str]]) -> list[tuple[float, str]]:
    """(count, class) pairs as (percent of the whole, class); empty when there is nothing to show."""
    total = sum(count for count, _ in counts)
    return [(round(count * 100 / total, 2), name) for count, name in counts] if total else []


def spark_pair(
    first: Sequence[float | None], second: Sequence[float | None], width: float, height: float
) -> tuple[str, str, str]:
    """Two lines on one scale from 0, and the area under the first: (area, first, second) as paths."""
    known = [v for v in (*first, *second) if v is not None and v == v]  # noqa: PLR0124 - NaN is not equal to itself
    top = max(known, default=0.0)
    if top <= 0:
        top = 1.0  # nothing but zeros: a line along the bottom
    one, two = _runs(first, top, width, height), _runs(second, top, width, height)
    areas = [f"{run} L{end:.1f} {height:.1f} L{start:.1f} {height:.1f} Z" for run, start, end in one]
    return " ".join(areas), " ".join(run for run, _, _ in one), " ".join(run for run, _, _ in two)


def _runs(
    values: Sequence[float | None], top: float, width: float, height: float
) -> list[tuple[str, float, float]]:
    """Unbroken stretches of a line as (path, first x, last x)."""
    step = width / max(1, len(values) - 1)
    runs: list[tuple[str, float, float]] = []
    points: list[tuple[float, float]] = []
    for position, value in enumerate([*values, None]):
        if value is not None and value == value:  # noqa: PLR0124 - NaN is not equal to itself
            points.append((position * step, height - 1 - max(0.0, value) / top * (height - 2.5)))
        elif points:
            drawn = points if len(points) > 1 else points * 2  # a line without length is drawn as a dot
            path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
            runs.append((path, points[0][0], points[-1][0]))
            points = []
    return runs


def strip_ticks(states: Sequence[str], pitch: int = 4, height: int = 16) -> list[tuple[int, int, int, str]]:
    """(x, y, height, state) of the bars of a strip: what is not known or not well is told by its height too."""
    heights = {"unknown": height // 4, "minor": height * 3 // 4}
    return [
        (place * pitch, height - heights.get(state, height), heights.get(state, height), state)
        for place, state in enumerate(states)
    ]

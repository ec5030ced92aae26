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

"""The CSV files of data/, read strictly."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from monitor.errors import InputError

FOLDER = Path(__file__).parent / "data"


@lru_cache(maxsize=32)
def read_table(name: str, folder: Path = FOLDER) -> tuple[Mapping[str, str], ...]:
    """The rows by column name. InputError with file:line for a row with too few or too many columns."""
    path = folder / name
    if not path.is_file():
        raise InputError("no such table", where=str(path))
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise InputError("a row does not fit the header", where=f"{path}:{reader.line_num}")
            rows.append(row)
    return tuple(rows)

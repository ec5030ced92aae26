"""Server-side lists: filter values, sort order and page from the URL; CSV out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from flask import Response, request

T = TypeVar("T")
PAGE_SIZE = 50
SortKeys = Mapping[str, Callable[[T], Any]]


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list, and what is needed to draw its head and foot."""

    items: Sequence[T]
    total: int
    page: int
    pages: int
    sort: str

    @property
    def first(self) -> int:
        """Number of the first shown item, from 1."""
        return (self.page - 1) * PAGE_SIZE + 1 if self.total else 0

    @property
    def last(self) -> int:
        """Number of the last shown item."""
        return min(self.page * PAGE_SIZE, self.total)

    def url(self, **changes: str | int) -> str:
        """This list's address with some values changed; an empty value is left out."""
        query = {**request.args.to_dict(), **{k: str(v) for k, v in changes.items()}}
        kept = {k: v for k, v in query.items() if v}
        return f"{request.path}?{urlencode(kept)}" if kept else request.path

    def sort_url(self, name: str) -> str:
        """The address that sorts by a column; a second click turns the order round."""
        return self.url(sort=f"-{name}" if self.sort == name else name, page="")

    def aria_sort(self, name: str) -> str:
        """ascending, descending or none, for a column head."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort, "none")


def asked(name: str) -> str:
    """A filter value from the URL."""
    return request.args.get(name, "").strip()[:200]


def page_number() -> int:
    """The page asked for, from 1."""
    text = request.args.get("page", "1")[:9]
    return max(1, min(int(text), 100_000)) if text.isascii() and text.isdigit() else 1


def make_listing(items: Sequence[T], keys: SortKeys[T], default: str) -> Listing[T]:
    """Sort and cut a filtered sequence as the URL asks; an unknown sort key falls back to the default."""
    sort = asked("sort")
    if sort.lstrip("-") not in keys:
        sort = default
    ordered = sorted(items, key=keys[sort.lstrip("-")], reverse=sort.startswith("-"))
    pages = max(1, -(-len(ordered) // PAGE_SIZE))
    page = min(page_number(), pages)
    return Listing(ordered[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], len(ordered), page, pages, sort)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    # A spreadsheet runs a cell that begins like a formula; a quote in front makes it text.
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def csv_response(name: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> Response:
    """A CSV download in UTF-8 with a byte-order mark, as spreadsheet programs expect Chinese."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(value) for value in head])
    writer.writerows([_cell(value) for value in row] for row in rows)
    response = Response("\ufeff" + out.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response

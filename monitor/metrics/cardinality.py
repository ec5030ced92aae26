"""How many series the store takes, in all and of one site, so that one sender's mistake cannot crowd out the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from monitor.metrics.arrays import Labels
from monitor.metrics.series import value_of

MAX_SERIES = 2_000_000
MAX_SERIES_OF_SITE = 100_000
OTHER_SITES = "(others)"
_NAMED_SITES = 1000


class Cardinality:
    """Counts the series of the newest hours; `admit` says whether another one may come.

    Series without a site share one count.
    """

    __slots__ = ("_limit", "_limit_of_site", "_of_site", "_refused", "_total")

    def __init__(self, limit: int = MAX_SERIES, limit_of_site: int = MAX_SERIES_OF_SITE) -> None:
        self._limit = limit
        self._limit_of_site = limit_of_site
        self._of_site: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._total = 0

    def admit(self, labels: Labels) -> str:
        """Why a new series is refused (`too_many_series`, `too_many_series_of_site`), empty when it may come."""
        site = value_of(labels, "site")
        if self._total >= self._limit:
            reason = "too_many_series"
        elif self._of_site[site] >= self._limit_of_site:
            reason = "too_many_series_of_site"
        else:
            return ""
        # Who floods the store with series may do so with sites: only so many are told apart.
        known = site in self._refused or len(self._refused) < _NAMED_SITES
        self._refused[site if known else OTHER_SITES] += 1
        return reason

    def note(self, labels: Labels) -> None:
        """A series came."""
        self._total += 1
        self._of_site[value_of(labels, "site")] += 1

    def forget(self, labels: Labels) -> None:
        """A series went."""
        self._total -= 1
        site = value_of(labels, "site")
        self._of_site[site] -= 1
        if not self._of_site[site]:
            del self._of_site[site]

    @property
    def series(self) -> Mapping[str, int]:
        """Series of the newest hours by site (empty: of no site)."""
        return dict(self._of_site)

    @property
    def refused(self) -> Mapping[str, int]:
        """How often a new series was refused since the start, by site; those of too many sites as `OTHER_SITES`."""
        return dict(self._refused)

"""How many series may come, in all and of one site."""

from __future__ import annotations

from pathlib import Path

from monitor.clock import ManualClock
from monitor.metrics.arrays import Labels
from monitor.metrics.cardinality import OTHER_SITES, Cardinality
from monitor.metrics.interface import AppendResult, block_of, make_labels
from monitor.metrics.store import LocalStore


def of(site: str, number: int) -> Labels:
    return make_labels({"site": site, "device": str(number)}, "up")


def filled(cardinality: Cardinality, site: str, count: int) -> Cardinality:
    for number in range(count):
        assert cardinality.admit(of(site, number)) == ""
        cardinality.note(of(site, number))
    return cardinality


def test_a_full_site_leaves_room_for_the_others() -> None:
    cardinality = filled(Cardinality(limit_of_site=3), "H1", 3)
    assert cardinality.admit(of("H1", 3)) == "too_many_series_of_site"
    assert cardinality.admit(of("H2", 0)) == ""
    assert cardinality.admit(make_labels({}, "up")) == ""
    assert (cardinality.series, cardinality.refused) == ({"H1": 3}, {"H1": 1})


def test_series_of_no_site_share_one_limit() -> None:
    cardinality = filled(Cardinality(limit_of_site=2), "", 2)
    assert cardinality.admit(make_labels({"job": "x"}, "m")) == "too_many_series_of_site"
    assert cardinality.refused == {"": 1}


def test_there_is_a_limit_over_all_sites() -> None:
    cardinality = filled(filled(Cardinality(limit=4), "H1", 2), "H2", 2)
    assert cardinality.admit(of("H3", 0)) == "too_many_series"


def test_series_that_went_make_room() -> None:
    cardinality = filled(Cardinality(limit=2, limit_of_site=1), "H1", 1)
    filled(cardinality, "H2", 1)
    cardinality.forget(of("H1", 0))
    assert cardinality.series == {"H2": 1}
    assert cardinality.admit(of("H1", 1)) == ""
    assert cardinality.admit(of("H2", 1)) == "too_many_series_of_site"


def test_a_flood_of_sites_is_not_remembered_one_by_one() -> None:
    cardinality = Cardinality(limit=0)
    for number in range(1500):
        assert cardinality.admit(of(f"S{number}", 0)) == "too_many_series"
    assert len(cardinality.refused) == 1001
    assert cardinality.refused[OTHER_SITES] == 500
    assert sum(cardinality.refused.values()) == 1500


def test_the_store_refuses_new_series_of_a_full_site_and_goes_on_with_the_known(tmp_path: Path) -> None:
    clock = ManualClock(1_795_262_400_000)
    store = LocalStore(tmp_path, clock, cardinality=Cardinality(limit=10, limit_of_site=2))

    def append(site: str, *names: str) -> AppendResult:
        now = clock.now_ms()
        return store.append(block_of([(make_labels({"site": site}, name), now, 1.0) for name in names]))

    assert append("H1", "a", "b", "c").reasons == {"too_many_series_of_site": 1}
    clock.advance(60)
    result = append("H1", "a", "b", "c")
    assert (result.accepted, result.reasons) == (2, {"too_many_series_of_site": 1})
    assert append("H2", "a").accepted == 1
    assert (dict(store.cardinality.series), dict(store.cardinality.refused)) == (
        {"H1": 2, "H2": 1},
        {"H1": 2},
    )
    store.close()
    again = LocalStore(tmp_path, clock, cardinality=Cardinality(limit=10, limit_of_site=2))
    assert dict(again.cardinality.series) == {"H1": 2, "H2": 1}
    clock.advance(3 * 86_400)
    again.maintain()  # of neither site has anything come for days: there is room again
    assert dict(again.cardinality.series) == {}
    again.close()

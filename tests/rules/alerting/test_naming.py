"""Ids in alert texts become the names people use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.alerting.naming import with_names

NAMES = {"H002": "市第二人民医院", "H002-WAN-1": "专网出口路由器"}


def text(summary: str) -> str:
    return with_names({"summary": summary}, NAMES)["summary"]


def test_site_and_device_are_named() -> None:
    assert text("H002 的 H002-WAN-1 失联") == "市第二人民医院 的 专网出口路由器 失联"
    assert text("H002-WAN-1 at H002 is down") == "专网出口路由器 at 市第二人民医院 is down"


def test_only_whole_ids_are_replaced() -> None:
    assert text("H0021、XH002、H002-WAN-12、H002-WAN") == "H0021、XH002、H002-WAN-12、H002-WAN"


def test_without_names_nothing_changes() -> None:
    assert with_names({"summary": "H002"}, {}) == {"summary": "H002"}
    assert with_names({"summary": "H002"}, {"H002": ""}) == {"summary": "H002"}


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=30)),
    st.dictionaries(st.text(max_size=4), st.text()),
)
def test_any_text_and_any_names_are_safe(annotations: dict[str, str], names: dict[str, str]) -> None:
    assert with_names(annotations, names).keys() == annotations.keys()

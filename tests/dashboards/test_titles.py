"""Titles beside the names of their site and device say each name once."""

from __future__ import annotations

import pytest

from dashboards.titles import headline, short_title

SITE = ("市第二人民医院", "H002")
DEVICE = ("专网出口路由器", "H002-WAN-1")
TEXTS = [
    # full sentence, without the site, without the device too
    (
        "市第二人民医院 的 专网出口路由器 接口 GE0/0/0 上联中断",
        "专网出口路由器 接口 GE0/0/0 上联中断",
        "接口 GE0/0/0 上联中断",
    ),
    ("市第二人民医院 的 专网出口路由器 失联", "专网出口路由器 失联", "专网出口路由器 失联"),
    ("H002 的 H002-WAN-1 的 snmp 采集失败", "H002-WAN-1 的 snmp 采集失败", "snmp 采集失败"),
    ("市第二人民医院的服务 HIS 不可用", "服务 HIS 不可用", "服务 HIS 不可用"),
    (
        "Uplink GE0/0/0 of 专网出口路由器 at 市第二人民医院 is down",
        "Uplink GE0/0/0 of 专网出口路由器 is down",
        "Uplink GE0/0/0 is down",
    ),
    ("专网出口路由器 at 市第二人民医院 is down", "专网出口路由器 is down", "专网出口路由器 is down"),
    ("room of H002-WAN-1 at H002: 33.5 °C", "room of H002-WAN-1: 33.5 °C", "room: 33.5 °C"),
    ("采集器 c1 失联", "采集器 c1 失联", "采集器 c1 失联"),
]


@pytest.mark.parametrize(("full", "without_site", "without_both"), TEXTS)
def test_names_that_stand_beside_are_left_out(full: str, without_site: str, without_both: str) -> None:
    assert short_title(full, SITE) == without_site
    assert short_title(full, SITE, DEVICE) == without_both
    assert short_title(full) == full


@pytest.mark.parametrize(
    "text",
    [
        "CPU of H002-WAN-10 at H0020 at 97%",
        "市第二人民医院东院 的 交换机 1 失联",
        "专网出口路由器 2 接口 GE1 频繁通断",
        "市第二人民医院",
    ],
)
def test_longer_names_and_lone_names_are_left_whole(text: str) -> None:
    assert short_title(text, SITE, DEVICE) == text


@pytest.mark.parametrize(
    ("full", "said"),
    [
        ("市第二人民医院 的 专网出口路由器 失联", "市第二人民医院 专网出口路由器 失联"),
        ("H002 的 专网出口路由器 失联", "市第二人民医院 专网出口路由器 失联"),
        ("专网上联中断", "市第二人民医院 专网上联中断"),
        ("专网出口路由器 at 市第二人民医院 is down", "专网出口路由器 at 市第二人民医院 is down"),
        ("room of env-1 at H002 at 33.5 °C", "room of env-1 at H002 at 33.5 °C"),
        ("市第二人民医院停电", "市第二人民医院停电"),
    ],
)
def test_a_headline_names_its_site_once(full: str, said: str) -> None:
    assert headline(full, SITE) == said
    assert headline(full, ("", "")) == full

"""The network map in Chromium: zoom, the panel, the keyboard, and states that arrive without anything moving."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.directory import ModuleStatus
from monitor.metrics.client import Sample
from monitor.model import Device, DeviceId, Kind, SiteId
from monitor.topology.facts import to_detail
from tests.dashboards.conftest import _city, app, database, stands_on
from tests.dashboards.metrics import NoMetrics
from tests.e2e.test_console import address, page
from tests.monitor.topology.worlds import NOW, Tree

__all__ = ["_city", "address", "app", "database", "page", "stands_on"]
pytestmark = pytest.mark.browser

SITE = SiteId("H001")


class Ports(NoMetrics):
    """All ports of the core are up, until one is not."""

    def __init__(self) -> None:
        super().__init__()
        self.down = ""

    def instant(self, expression: str, at_ms: int | None = None) -> list[Sample]:
        if "ifOperStatus" not in expression or "==" in expression:
            return []
        return [
            ({"device": "s0", "ifIndex": str(n)}, 2.0 if str(n) == self.down else 1.0) for n in range(1, 60)
        ]


def campus(stands_on: Backend, clock: ManualClock, tree: Tree) -> None:
    """A site that is this tree; every switch has told what it hears."""
    role = {"s0": "core"}
    switches = [replace(d, site=SITE, role=role.get(str(d.id), "access")) for d in tree.devices()]
    hosts = [replace(d, site=SITE) for d in tree.host_devices()]
    devices: dict[DeviceId, Device] = {device.id: device for device in [*switches, *hosts]}
    assert {device.kind for device in switches} == {Kind.NETWORK}
    inventory = stands_on.directory.inventory()
    stands_on.directory.replace(replace(inventory, devices=devices, services={}))
    statuses = []
    for name in tree.switches:
        facts = replace(tree.lldp(name), at_ms=clock.now_ms(), fdb=tree.fdb(name).fdb)
        facts = tree.arp(name, facts) if name == "s0" else facts
        now = clock.now_ms()
        statuses.append(ModuleStatus(DeviceId(name), "topology", True, now, now, (), {}, to_detail(facts)))
    stands_on.directory.record_statuses(statuses)


@pytest.fixture
def ports(app: Flask, stands_on: Backend, clock: ManualClock) -> Ports:
    assert NOW  # the world's own time is not the console's
    campus(stands_on, clock, Tree([0] * 8, [2] * 9))
    metrics = Ports()
    app.extensions["zhishou"] = replace(stands_on, metrics=metrics)
    return metrics


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.usefixtures("ports")
def test_zoom_the_panel_and_the_keyboard(page: Page, address: str, theme: str) -> None:
    page.goto(f"{address}/topology/H001?theme={theme}")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    expect(page.locator("#map .node")).to_have_count(27)
    before = page.locator("#map").get_attribute("viewBox")
    page.click("[data-zoom=in]")
    assert page.locator("#map").get_attribute("viewBox") != before
    page.click("[data-zoom=fit]")
    assert page.locator("#map").get_attribute("viewBox") == before
    page.click("[data-node=s3]")
    panel = page.locator("#topo-panel")
    expect(panel).to_contain_text("10.0.0.4")
    assert "sel=s3" in page.url
    panel.locator('[data-select^="s0:"]').click()
    expect(panel).to_contain_text("两端确认")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.locator("[data-node=s0]").focus()
    page.keyboard.press("ArrowDown")
    below = page.evaluate("document.activeElement.dataset.node")
    assert below != "s0"
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_a_cut_link_turns_red_where_it_is(page: Page, address: str, ports: Ports) -> None:
    page.goto(f"{address}/topology/H001")
    link = page.locator('[data-link^="s0:4~"]')
    expect(link).to_have_class("link up confirmed w0")
    place = page.locator("[data-node=s4]").bounding_box()
    ports.down = "4"
    page.evaluate("document.body.dispatchEvent(new CustomEvent('zs:change'))")
    expect(link).to_have_class("link confirmed down w0")
    expect(page.locator("#topo-summary")).to_contain_text("中断链路 1 条")
    assert page.locator("[data-node=s4]").bounding_box() == place
    expect(page.locator("#topo-changed")).to_be_hidden()


def test_a_changed_network_is_offered_not_forced(
    page: Page, address: str, ports: Ports, stands_on: Backend, clock: ManualClock
) -> None:
    page.goto(f"{address}/topology/H001")
    assert ports.down == ""
    campus(stands_on, clock, Tree([0] * 9, [2] * 10))
    page.evaluate("document.body.dispatchEvent(new CustomEvent('zs:change'))")
    expect(page.locator("#topo-changed")).to_be_visible()
    expect(page.locator("#map .node")).to_have_count(27)
    page.click("#topo-changed a")
    expect(page.locator("#map .node")).to_have_count(30)


@pytest.mark.usefixtures("ports")
def test_a_phone_begins_at_a_readable_size(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/topology/H001")
    box = page.locator("[data-node=s0] .face").bounding_box()
    assert box is not None
    assert box["width"] > 90
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.goto(f"{address}/topology/H001?view=list")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_five_hundred_devices_do_not_hang_the_browser(
    page: Page, address: str, app: Flask, stands_on: Backend, clock: ManualClock
) -> None:
    campus(stands_on, clock, Tree([0] * 99, [4] * 100))
    app.extensions["zhishou"] = replace(stands_on, metrics=NoMetrics())
    page.goto(f"{address}/topology/H001")
    expect(page.locator("#map .node")).to_have_count(500, timeout=20_000)
    spent = page.evaluate(
        "() => new Promise((done) => { const began = performance.now();"
        " document.querySelector('[data-zoom=in]').click();"
        " requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))); })"
    )
    assert spent < 2000
    page.click("[data-zoom=fit]")
    page.locator("[data-node=s50]").dispatch_event("click")
    expect(page.locator("#topo-panel")).to_contain_text("s50", timeout=20_000)

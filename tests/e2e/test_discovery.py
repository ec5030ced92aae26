"""The discovery page in Chromium: progress that survives a reload, finds that appear, ticks that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY
from tests.conftest import NOON
from tests.dashboards.conftest import PASSWORD, _city, app, database, stands_on
from tests.dashboards.test_discovery import FIND, progress
from tests.e2e.test_console import address

__all__ = ["_city", "address", "app", "database", "stands_on"]
pytestmark = pytest.mark.browser


@pytest.fixture
def scan(stands_on: Backend) -> int:
    stands_on.credentials.put("ops", "ssh", {"user": "ops", "password": "hidden-word"})
    for name in ("c", "ro"):
        stands_on.credentials.put(name, "snmp-v2c", {"community": "hidden-word"})
    stands_on.discovery.grants.release(WHOLE_CITY, "H001", "ro", "sec")
    number = stands_on.discovery.scans.start(WHOLE_CITY, "H001", ["192.0.2.0/24"], "wang")
    stands_on.discovery.proposals.take("H001", number, json.dumps(asdict(FIND)), NOON)
    progress(stands_on, number, "running", found=1)
    return number


@pytest.fixture
def page(address: str, stands_on: Backend) -> Iterator[Page]:
    stands_on.users.create("wang", Role.SYSTEM_ADMIN, PASSWORD, display="王工", must_change=False)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        shown = browser.new_page(viewport={"width": 1366, "height": 768})
        complaints: list[str] = []
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on(
            "console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None
        )
        shown.goto(f"{address}/login")
        shown.fill("[name=name]", "wang")
        shown.fill("[name=password]", PASSWORD)
        shown.click("button.primary")
        shown.wait_for_selector("nav.nav")
        yield shown
        browser.close()
    assert complaints == []


def another(stands_on: Backend, scan: int, number: int, clock: ManualClock) -> None:
    clock.advance(1)
    find = replace(FIND, address=f"192.0.2.{number}", sys_name=f"box-{number}", serial=f"2102350{number:03}")
    stands_on.discovery.proposals.take("H001", scan, json.dumps(asdict(find)), clock.now_ms())
    progress(stands_on, scan, "running", found=number)


def test_finds_appear_while_the_scan_runs_and_ticks_stay(
    page: Page, address: str, stands_on: Backend, scan: int, clock: ManualClock
) -> None:
    page.goto(f"{address}/discovery")
    expect(page.locator("#scans")).to_contain_text("120 / 254")
    expect(page.locator("#bulk tbody tr")).to_have_count(1)
    another(stands_on, scan, 61, clock)
    expect(page.locator("#bulk tbody tr")).to_have_count(2, timeout=8000)
    expect(page.locator("#waiting")).to_contain_text("2")
    page.locator("#bulk input[name=id]").first.check()
    expect(page.locator("[data-bulk]")).to_be_visible()
    another(stands_on, scan, 62, clock)
    expect(page.locator("#scans")).to_contain_text("62 个应答", timeout=8000)
    expect(page.locator("#bulk input[name=id]:checked")).to_have_count(1)
    expect(page.locator("#bulk tbody tr")).to_have_count(2)
    page.reload()
    expect(page.locator("#scans")).to_contain_text("扫描中")
    expect(page.locator("#bulk tbody tr")).to_have_count(3)


def test_cancelling_and_approving_all(page: Page, address: str, stands_on: Backend, scan: int) -> None:
    page.goto(f"{address}/discovery")
    page.click("#scans button:has-text('取消')")
    expect(page.locator("#scans")).to_contain_text("已取消")
    assert stands_on.discovery.scans.get(WHOLE_CITY, scan).state == "cancelled"
    page.check("[data-all]")
    expect(page.locator("[data-count]")).to_have_text("1")
    page.click("button:has-text('批准加入台账')")
    expect(page.locator("#waiting")).to_contain_text("0")
    assert "H001-acc-50" in stands_on.directory.inventory().devices


@pytest.mark.parametrize("path", ["/discovery", "/discovery?sel=1", "/discovery/scans", "/discovery/changes"])
def test_a_phone_does_not_scroll_sideways(page: Page, address: str, scan: int, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address + path)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert (scan > 0, wide) == (True, 0)

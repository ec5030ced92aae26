"""The device pages in Chromium over the demo city: an uplink that is cut, a supply on battery, a device that falls silent.

Screenshots go to build/screenshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.real.product import Product

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's Chromium is not installed"),
]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("devices"), demo=True) as running:
        running.wait(
            lambda: running.query('rate(ifHCInOctets{device="H002-CORE-1"}[1m])'), 120, "traffic is known"
        )
        yield running


@pytest.fixture
def page(product: Product) -> Iterator[Page]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        shown = browser.new_context(viewport={"width": 1366, "height": 768}, locale="zh-CN").new_page()
        complaints: list[str] = []
        shown.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(product.url)
        shown.fill("input[autocomplete=username]", "duty")
        shown.fill("input[type=password]", product.password("duty"))
        shown.click("form button.primary")
        shown.wait_for_selector("nav.nav")
        yield shown
        browser.close()
    assert complaints == []


def shoot(page: Page, name: str) -> None:
    """Screenshots on the desk and on the phone; nothing may scroll sideways."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    for width, height in ((390, 844), (1366, 768)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"{name} scrolls sideways at {width}"
        page.screenshot(path=SHOTS / f"{name}-{width}.png")


def test_the_overview_draws_traffic_and_what_is_worth_a_look(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/devices/H002-CORE-1")
    expect(page.locator(".uplot canvas").first).to_be_visible(timeout=20_000)
    expect(page.locator(".verdict")).to_be_visible()
    first = page.locator("table.iftable tbody tr").first
    expect(first.locator("svg.pair path.n")).to_have_count(1, timeout=120_000)  # by its own refresh
    expect(page.locator("table.iftable")).to_contain_text("上联 专网出口路由器")
    shoot(page, "device-overview")


def test_an_interface_opens_closes_and_keeps_its_place(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/devices/H002-CORE-1/interfaces")
    page.get_by_role("link", name="入", exact=True).click()
    page.get_by_role("link", name="入", exact=True).click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("入")
    page.get_by_role("link", name="Eth-Trunk12").click()
    panel = page.locator("#port-panel")
    expect(panel).to_contain_text("PACS 影像存储")
    expect(panel.locator(".uplot canvas").first).to_be_visible(timeout=20_000)
    expect(page).to_have_url(re.compile(r"sort=-in.*port=3"))
    expect(page.locator("tr[aria-selected=true]")).to_contain_text("Eth-Trunk12")
    panel.get_by_role("link", name="6 时").click()
    expect(page).to_have_url(re.compile(r"range=6h"))
    shoot(page, "device-interface")
    page.reload()
    expect(panel).to_contain_text("Eth-Trunk12")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page).not_to_have_url(re.compile("port="))
    expect(page).to_have_url(re.compile("sort=-in"))


def test_the_table_refreshes_itself_without_moving(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/devices/H002-CORE-1/interfaces?q=GigabitEthernet3")
    rows = page.locator("table.iftable tbody tr")
    row, count = rows.nth(3), rows.count()
    before = row.bounding_box()
    row.evaluate("(element) => { element.dataset.old = '1'; }")
    expect(page.locator("tr[data-old]")).to_have_count(0, timeout=40_000)  # the rows came anew
    assert row.bounding_box() == before
    expect(rows).to_have_count(count)


def test_a_cut_uplink_is_told_with_its_age(page: Page, product: Product) -> None:
    product.wait(
        lambda: product.query('ifOperStatus{device="H002-WAN-1",ifIndex="1"} == 2'), 120, "the uplink is cut"
    )
    page.goto(f"{product.url}/devices/H002-WAN-1/interfaces")
    cut = page.locator("table.iftable tbody tr", has_text="上联 市卫生专网")
    expect(cut).to_contain_text("断开", timeout=30_000)
    expect(cut.locator("time[data-since]")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text(re.compile("断开|中断"))
    shoot(page, "device-cut")


def test_a_supply_on_battery_and_its_hardware(page: Page, product: Product) -> None:
    product.wait(lambda: product.query('ups_on_battery{device="H005-UPS-1"} == 1'), 120, "mains are out")
    page.goto(f"{product.url}/devices/H005-UPS-1")
    expect(page.locator("main")).to_contain_text("电池供电", timeout=30_000)
    shoot(page, "device-ups")
    page.get_by_role("link", name="部件与传感器").click()
    expect(page.locator("table.sensors").first).to_contain_text("battery")
    shoot(page, "device-hardware")


def test_polling_tells_the_profile_and_every_module(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/devices/H002-CORE-1/polling")
    expect(page.locator("main")).to_contain_text("huawei-vrp")
    expect(page.locator("main")).to_contain_text("sysObjectID 落在 1.3.6.1.4.1.2011 之下")
    expect(page.locator("svg.ticks.poll rect")).to_have_count(48)
    shoot(page, "device-polling")

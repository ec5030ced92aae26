"""A flipped byte in the log and one in a sealed chunk, as the duty operator sees them in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from monitor.clock import ManualClock
from monitor.service import Runtime
from tests.dashboards.conftest import _city, app, database, stands_on
from tests.dashboards.corehouse import core_at
from tests.e2e.test_console import address, page
from tests.monitor.metrics.damage import damaged_folder

__all__ = ["_city", "address", "app", "database", "page", "stands_on"]
pytestmark = pytest.mark.browser

SAID = {
    "zh": ("2 处指标数据损坏，其余数据照常提供", "停止服务后用最近的快照或备份恢复"),
    "en": ("Damaged pieces of metric data: 2; everything else is served", "restore the folder metrics"),
}


@pytest.fixture
def damaged(runtime: Runtime, tmp_path: Path, clock: ManualClock) -> Iterator[None]:
    """A core that has found both, because somebody asked for all there is."""
    damaged_folder(tmp_path / "metrics", clock)
    with core_at(runtime, tmp_path) as store:
        store.window([], 0, clock.now_ms())
        yield


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_from_the_banner_to_what_to_do(page: Page, address: str, language: str, theme: str) -> None:
    page.context.add_cookies([{"name": "zs_lang", "value": language, "url": address}])
    page.emulate_media(color_scheme="light")
    page.goto(address)
    if theme == "dark":
        page.click("[data-action=theme]")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    title, remedy = SAID[language]
    banner = page.locator("#own-trouble")
    expect(banner).to_contain_text(title)
    box = banner.bounding_box()
    assert box is not None
    assert box["height"] < 48  # one line
    banner.click()
    notice = page.locator("#self-check .note.major")
    expect(notice).to_contain_text(title)
    expect(notice).to_contain_text(remedy)
    expect(page.locator(".figures > .major")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0

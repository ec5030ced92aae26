"""The console in Chromium: no CSP violation, no script error, the keyboard works, a change arrives live."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from dashboards.backend import Backend
from monitor.clock import ManualClock
from monitor.identity.roles import Role
from monitor.model import WHOLE_CITY
from tests.dashboards.conftest import PASSWORD, _city, app, database, stands_on

__all__ = ["_city", "app", "database", "stands_on"]
pytestmark = pytest.mark.browser


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    app.extensions["zhishou-live"].stop()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(address: str, stands_on: Backend, clock: ManualClock) -> Iterator[Page]:
    stands_on.users.create("lin", Role.DUTY_OPERATOR, PASSWORD, display="林嘉禾", must_change=False)
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
        shown.fill("[name=name]", "lin")
        shown.fill("[name=password]", PASSWORD)
        shown.click("button.primary")
        shown.wait_for_selector("nav.nav")
        yield shown
        browser.close()
    assert complaints == []


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_no_page_scrolls_sideways(page: Page, address: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for path in ("/", "/desk", "/sites", "/sites/H001", "/devices", "/devices/H001-SW-1", "/services", "/events",
                 "/compliance", "/playbooks", "/findings", "/admin", "/discovery", "/discovery/scans",
                 "/discovery/changes"):  # fmt: skip
        page.goto(address + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, path


def test_the_desk_by_keyboard(page: Page, address: str, stands_on: Backend) -> None:
    page.goto(f"{address}/desk")
    page.keyboard.press("a")
    page.wait_for_selector("#act-dialog[open]")
    page.fill("#f-note", "已电话院方")
    page.click("#acts .primary")
    page.wait_for_selector(".toast")
    assert stands_on.desk.alert(WHOLE_CITY, 1).owner == "lin"
    page.wait_for_selector("#act-dialog", state="hidden")
    page.keyboard.press("j")
    assert page.locator(".grp[data-cursor]").count() == 1
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")

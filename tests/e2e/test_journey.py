"""One working day in Debian's Chromium, on the whole product: log in, look, acknowledge, read a chart, assess, export.

Screenshots go to build/screenshots at 1366x768 and 1920x1080.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from monitor.clock import SystemClock
from monitor.model import WHOLE_CITY
from monitor.settings import Settings
from monitor.state import open_audit, open_database
from rules.alerting.desk import SqlDesk
from rules.alerting.interface import AlertFilter
from tests.real.product import Product
from tests.real.snmpd import LoopbackSnmpd
from tests.real.sshd import LoopbackSshd

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NEW_PASSWORD = "Evening-Shift-9"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's Chromium is not installed"),
]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("journey")
    with LoopbackSnmpd(folder, community="journey-community") as snmpd, LoopbackSshd(folder) as sshd:
        device = {"kind": "server", "address": "127.0.0.1"}
        ssh = {"credential": "login", "port": sshd.port, "interval": 5, "host_key": sshd.host_key_fingerprint}
        snmp = {"credential": "ro", "port": snmpd.port, "interval": 5, "timeout": 0.5, "retries": 0}
        devices = [
            {"id": "HIS-1", "name": "HIS 服务器", **device, "ssh": ssh},
            {"id": "SW-1", "name": "核心交换机", **device, "kind": "network", "snmp": snmp},
            {
                "id": "SW-2",
                "name": "接入交换机",
                **device,
                "kind": "network",
                "snmp": {**snmp, "credential": "wrong"},
            },
        ]
        inventory = {
            "city": "云溪市",
            "regions": [{"id": "xidong", "name": "溪东区"}],
            "credentials": {
                "ro": {"kind": "snmp-v2c", "community": snmpd.community},
                "wrong": {"kind": "snmp-v2c", "community": "mistyped"},
                "login": {"kind": "ssh", "user": sshd.user, "private_key": sshd.private_key},
            },
            "sites": [
                {
                    "id": "H001", "name": "市第一人民医院", "region": "xidong", "grade": "tertiary",
                    "protection_level": 3, "collector": "core", "devices": devices,
                }
            ],
        }  # fmt: skip
        path = folder / "inventory.yml"
        path.write_text(json.dumps(inventory, ensure_ascii=False), "utf-8")
        with Product(folder, inventory=path) as running:
            running.wait(
                lambda: running.firing("DeviceDown"), 60, "the switch with the wrong community is down"
            )
            running.wait(lambda: running.query('up{device="HIS-1"} == 1'), 60, "the host answers")
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="zh-CN", accept_downloads=True
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # A refused login answers 401, which Chromium itself reports; everything else is ours.
    assert [text for text in complaints if "401 (UNAUTHORIZED)" not in text] == []


def account(product: Product, name: str) -> str:
    argv = [sys.executable, "-m", "monitor.cli", "user", "add", name, "--role", "security_officer"]
    made = subprocess.run([*argv, "--data", str(product.data)], capture_output=True, text=True, check=True)
    return made.stdout.rsplit(" ", 1)[1].strip()


def log_in(page: Page, product: Product, name: str) -> None:
    """First login: the one-time password must be changed before anything else."""
    one_time = account(product, name)
    page.goto(product.url)
    page.fill("input[autocomplete=username]", name)
    page.fill("input[type=password]", one_time)
    page.click("form button.primary")
    page.fill("input[name=old]", one_time)
    page.fill("input[name=new]", NEW_PASSWORD)
    page.fill("input[name=again]", NEW_PASSWORD)
    page.click("form button.primary")
    page.goto(product.url + "/")
    expect(page.locator("h1")).to_have_text("总览")


def note_from_elsewhere(product: Product, text: str) -> None:
    """What a colleague at another desk does, straight on the state database."""
    settings, clock = Settings(data=str(product.data)), SystemClock()
    database = open_database(settings)
    desk = SqlDesk(database, open_audit(settings, database, clock), clock)
    alerts, _total = desk.alerts(WHOLE_CITY, AlertFilter(device="SW-2"))
    desk.note(WHOLE_CITY, [alert.id for alert in alerts], "he", text)
    database.close()


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    for width, height in ((1366, 768), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        sideways = page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not sideways, f"{name} scrolls sideways at {width}"
        page.screenshot(path=SHOTS / f"{name}-{width}.png")
    page.set_viewport_size({"width": 1366, "height": 768})


def test_a_wrong_password_is_refused_in_words(page: Page, product: Product) -> None:
    page.goto(product.url)
    page.fill("input[autocomplete=username]", "nobody")
    page.fill("input[type=password]", "wrong-password")
    shoot(page, "login")
    page.click("form button.primary")
    expect(page.get_by_role("alert")).to_contain_text("账号或口令不正确")


def test_the_desk_acknowledges_by_keyboard(page: Page, product: Product) -> None:
    log_in(page, product, "zhou")
    shoot(page, "overview")
    page.goto(product.url + "/desk")
    row = page.locator(".grp", has_text="接入交换机").first
    row.click()
    expect(page.locator("#detail")).to_contain_text("失联")
    shoot(page, "desk")
    page.keyboard.press("a")
    page.locator("#f-note").fill("团体名写错，已通知院方")
    page.locator("#act-dialog button.primary").click()
    expect(page.locator("#detail")).to_contain_text("团体名写错，已通知院方", timeout=10_000)
    expect(page.locator(".grp", has_text="接入交换机").first).to_contain_text("zhou", timeout=10_000)
    note_from_elsewhere(product, "院方已改正，等待复核")
    expect(page.locator("#detail")).to_contain_text("院方已改正，等待复核", timeout=10_000)


def test_a_change_right_after_another_is_not_lost(page: Page, product: Product) -> None:
    log_in(page, product, "tang")
    page.goto(product.url + "/desk")
    told = "document.body.dispatchEvent(new CustomEvent('zs:change'))"
    with page.expect_request(lambda request: "/desk/list" in request.url):
        page.evaluate(told)
    page.wait_for_timeout(200)
    with page.expect_request(lambda request: "/desk/list" in request.url, timeout=3000):
        page.evaluate(told)  # within the throttle of the list


def test_the_device_page_shows_a_moving_chart_and_a_clear_error(page: Page, product: Product) -> None:
    log_in(page, product, "he")
    page.goto(product.url + "/devices/SW-1")
    expect(page.locator(".uplot canvas").first).to_be_visible(timeout=15_000)
    shoot(page, "device")
    page.goto(product.url + "/devices/SW-2")
    expect(page.locator("main")).to_contain_text("团体名")
    assert "mistyped" not in page.content()


def test_an_assessment_is_exported_and_verified(page: Page, product: Product, tmp_path: Path) -> None:
    log_in(page, product, "du")
    page.goto(product.url + "/compliance/sites/H001")
    page.get_by_role("button", name="开始核查").click()
    page.get_by_role("link", name="查看结果").first.click(timeout=60_000)
    expect(page.locator("main")).to_contain_text("不符合")
    shoot(page, "assessment")
    page.get_by_role("button", name="导出证据包").click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("link", name="下载").first.click(timeout=60_000)
    bundle = tmp_path / "evidence.zip"
    download.value.save_as(bundle)
    argv = [sys.executable, "-m", "monitor.cli", "evidence", "verify", str(bundle)]
    assert subprocess.run(argv, check=False).returncode == 0
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    bundle.write_bytes(raw)
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 1
    page.goto(product.url + "/compliance")
    shoot(page, "compliance")


def test_english_and_dark_are_complete(page: Page, product: Product) -> None:
    log_in(page, product, "lu")
    page.get_by_role("button", name="EN").or_(page.get_by_role("link", name="EN")).first.click()
    expect(page.locator("h1")).to_have_text("Overview")
    chinese = re.compile(r"[\u4e00-\u9fff]")
    names = ("云溪市", "市第一人民医院", "溪东区")
    text = page.locator("nav").inner_text() + page.locator("header.top").inner_text()
    for name in names:
        text = text.replace(name, "")
    assert not chinese.search(text.replace("中文", "").replace("中", "")), text
    page.locator("[data-action=theme]").first.click()
    shoot(page, "overview-dark")

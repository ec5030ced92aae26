"""`zhishou discover` against Debian's snmpd, v3 first; and against a core, which it asks and follows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from collectors.discovery.cli import credentials_of, discover
from collectors.discovery.follow import follow
from collectors.discovery.scan import Scan
from collectors.interface import Credential
from collectors.profiles.profile import Profile
from monitor.clock import SystemClock
from monitor.database import sqlite_database
from monitor.directory import Directory
from monitor.discovery.interface import Find, ScanOrder
from monitor.errors import InputError, UnreachableError, ZhishouError
from monitor.model import SiteId
from tests.monitor.discovery.conftest import city, device
from tests.real.snmpd import LoopbackSnmpd

V3 = ("--v3-user", "ops", "--v3-auth", "SHA:authpass1", "--v3-priv", "AES:privpass1")


@pytest.fixture(autouse=True)
def _quick(profiles: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Profiles that have been read already, and no log lines between the results."""
    monkeypatch.setattr("collectors.discovery.cli.load_profiles", lambda: profiles)
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSnmpd]:
    folder = tmp_path_factory.mktemp("snmpd")
    with LoopbackSnmpd(folder, user="ops", auth="SHA:authpass1", priv="AES:privpass1") as running:
        yield running


def run(*arguments: str, data: Path) -> Result:
    return CliRunner().invoke(discover, [*arguments, "--data", str(data)], env={"ZHISHOU_COMMUNITY": None})


def near(snmpd: LoopbackSnmpd) -> tuple[str, ...]:
    return ("127.0.0.1-4", "--port", str(snmpd.port), "--rate", "300", "--timeout", "0.4", "--retries", "0")


def test_snmpd_is_found_over_v3_before_any_community(snmpd: LoopbackSnmpd, tmp_path: Path) -> None:
    result = run(*near(snmpd), "--community", "public", *V3, "--json", data=tmp_path)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (found,) = document["devices"]
    assert (found["address"], found["credential"], found["snmp"]) == ("127.0.0.1", "v3:ops", "3")
    assert (found["sys_name"], found["os"], found["kind"]) == ("loopback-snmpd", "Linux", "server")
    assert found["engine_id"].startswith("80001f88")
    assert (document["state"], document["scanned"], document["skipped"]) == ("done", 4, [])
    assert "authpass1" not in result.output


@pytest.mark.parametrize(
    "wrong",
    [("--v3-auth", "SHA:wrongpass1"), ("--v3-user", "nobody"), ("--v3-priv", "AES:wrongpass1")],
    ids=str,
)
def test_v3_users_that_do_not_fit_leave_the_communities(
    snmpd: LoopbackSnmpd, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    result = run(*near(snmpd), *V3, *wrong, "--community", "public", "--json", data=tmp_path)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["devices"]
    assert (found["credential"], found["snmp"]) == ("v2c:1", "2c")


def test_an_engine_that_answers_is_no_find(snmpd: LoopbackSnmpd, profiles: Mapping[str, Profile]) -> None:
    """The engine discovery is open to all, the find is not: without a fitting user there is none."""
    user = Credential("snmp-v3", user="ops", auth_protocol="SHA", auth_password="wrongpass1")
    order = ScanOrder(1, SiteId("H001"), ("127.0.0.1",), ("ops",), snmpd.port, 300.0, timeout=0.4, retries=0)
    finds: list[Find] = []
    scan = Scan(order, {"ops": user}, profiles, SystemClock(), stop=threading.Event())
    assert scan.run(finds.append, lambda _: None).state == "done"
    assert finds == []


def test_the_table_for_people(snmpd: LoopbackSnmpd, tmp_path: Path) -> None:
    result = run(*near(snmpd), "--community", "public", data=tmp_path)
    assert result.exit_code == 0
    assert "127.0.0.1" in result.stdout
    assert "4/4 addresses, 1 devices" in result.stderr


def test_nothing_that_answers_is_exit_code_3(snmpd: LoopbackSnmpd, tmp_path: Path) -> None:
    result = run(*near(snmpd), "--community", "wrong", "--json", data=tmp_path)
    assert isinstance(result.exception, UnreachableError)
    assert result.exception.exit_code == 3
    assert json.loads(result.stdout)["devices"] == []


def test_what_the_inventory_forbids_is_left_alone(snmpd: LoopbackSnmpd, tmp_path: Path) -> None:
    database = sqlite_database(tmp_path)
    database.migrate()
    Directory(database, SystemClock()).replace(
        city(device("ICU", "H001", "127.0.0.1", do_not_probe="生命支持"))
    )
    database.close()
    result = run(*near(snmpd), "--community", "public", "--json", data=tmp_path)
    document = json.loads(result.stdout)
    assert document["devices"] == []
    assert document["skipped"] == [{"address": "127.0.0.1", "device": "ICU", "reason": "生命支持"}]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("10.0.0.0/8", "--community", "x"), "65536"),
        (("10.0.0.999", "--community", "x"), "10.0.0.999"),
        (("127.0.0.1",), "never guessed"),
        (("127.0.0.1", "--v3-auth", "SHA:x"), "--v3-user"),
        (("127.0.0.1", "--v3-user", "a", "--v3-auth", "SHA"), "PROTOCOL:PASSWORD"),
    ],
    ids=range(5),
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    result = run(*arguments, data=tmp_path)
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert named in str(result.exception)
    assert result.exception.zh != str(result.exception)


def test_a_community_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHISHOU_COMMUNITY", "from-env")
    assert credentials_of((), v1=True, user=None, auth=None, priv=None) == {
        "v2c:1": Credential("snmp-v2c", community="from-env"),
        "v1:1": Credential("snmp-v1", community="from-env"),
    }
    assert "v2c:1" not in credentials_of((), v1=False, user="ops", auth="SHA:authpass1", priv=None)


# -- a site, through the core ---------------------------------------------------------------------------------


class Core:
    """The JSON API as `follow` uses it: two scans that are done at the third look."""

    def __init__(self, *, ending: str = "done", status: int = 200) -> None:
        self.ending = ending
        self.status = status
        self.looks = 0
        self.cancelled: list[str] = []
        self.tokens: set[str] = set()
        core = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                core._answer(self)

            def do_POST(self) -> None:
                core._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.tokens.add(handler.headers.get("Authorization", ""))
        handler.send_response(self.status)
        handler.end_headers()
        handler.wfile.write(json.dumps(self._document(handler.command, handler.path)).encode())

    def _document(self, method: str, path: str) -> dict[str, object]:
        if self.status != 200:
            return {"title": "refused", "status": self.status, "detail": "no known range"}
        if path == "/api/v1/discovery/sites/H001/scan":
            return {"scans": [4, 5]}
        if path.endswith("/cancel"):
            self.cancelled.append(path)
            return {"state": "cancelled", "done": 1, "total": 10, "found": 0}
        self.looks += 1
        over = self.looks > 4
        return {"state": self.ending if over else "running", "done": 10 if over else 3, "total": 10, "found": 2,
                "reason": {"message": "too slow"} if self.ending == "failed" else {}}  # fmt: skip


@pytest.fixture
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    monkeypatch.setattr("collectors.discovery.follow._EVERY", 0.01)
    made = Core(**getattr(request, "param", {}))
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def at_site(core: Core, *more: str) -> Result:
    return CliRunner().invoke(discover, ["H001", "--url", core.url, *more], env={"ZHISHOU_TOKEN": "t0ken"})


def test_a_site_is_scanned_by_its_core(core: Core) -> None:
    result = at_site(core, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["state"], document["done"], document["total"], document["found"]) == ("done", 20, 20, 4)
    assert core.tokens == {"Bearer t0ken"}
    assert "done: 20/20, 4 found" in at_site(core).stdout


@pytest.mark.parametrize("core", [{"ending": "failed"}], indirect=True)
def test_a_failed_scan_of_a_site_is_exit_code_1(core: Core) -> None:
    result = at_site(core)
    assert isinstance(result.exception, ZhishouError)
    assert result.exception.exit_code == 1
    assert "too slow" in str(result.exception)


@pytest.mark.parametrize(
    ("core", "code"), [({"status": 403}, 2), ({"status": 400}, 2), ({"status": 500}, 1)], indirect=["core"]
)
def test_what_the_core_refuses_is_said(core: Core, code: int) -> None:
    result = at_site(core)
    assert isinstance(result.exception, ZhishouError)
    assert result.exception.exit_code == code


def test_a_core_that_is_away_is_exit_code_3() -> None:
    result = CliRunner().invoke(discover, ["H001", "--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, UnreachableError)


def test_interrupting_cancels_the_scans(core: Core) -> None:
    stop = threading.Event()
    document = follow(core.url, "", "H001", stop, lambda _: stop.set())
    assert document["state"] == "cancelled"
    assert core.cancelled == ["/api/v1/discovery/scans/4/cancel", "/api/v1/discovery/scans/5/cancel"]

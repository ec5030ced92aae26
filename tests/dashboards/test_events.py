"""日志事件: told in the reader's language, and what concerns no site to those who see the whole city only."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from dashboards.backend import Backend
from monitor.events.interface import Event
from monitor.identity.roles import Role
from tests.conftest import NOON

TRAP: Event = {
    "@timestamp": NOON - 1000, "event.dataset": "zhishou.trap", "event.action": "trap.linkDown", "zhishou.site": "H001",
    "zhishou.device": "H001-SW-1", "message": "接口 3 断开", "zhishou.message_en": "Interface 3 down",
}  # fmt: skip
REFUSED: Event = {
    "@timestamp": NOON - 500, "event.action": "trap.refused.unknown-source", "message": "收到未登记地址 192.0.2.9 的陷阱",
}  # fmt: skip


def test_an_event_speaks_the_readers_language(operator: FlaskClient, stands_on: Backend) -> None:
    stands_on.events.append([("t", TRAP)])
    for path in ("/events?action=trap.", "/events/export.csv", "/devices/H001-SW-1"):
        operator.set_cookie("zs_lang", "zh")
        assert "接口 3 断开" in operator.get(path).text, path
        operator.set_cookie("zs_lang", "en")
        answer = operator.get(path).text
        assert "Interface 3 down" in answer, path
        assert "接口 3 断开" not in answer, path


def test_traps_of_unknown_addresses_are_for_the_city(
    operator: FlaskClient, as_role: Callable[..., FlaskClient], stands_on: Backend
) -> None:
    stands_on.events.append([("r", REFUSED)])
    assert "192.0.2.9" in operator.get("/events").text
    assert "192.0.2.9" not in as_role(Role.SITE_STAFF).get("/events").text

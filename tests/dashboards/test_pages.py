"""Pages show what is true, and only to those who may see it."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

PAGES = [
    "/", "/desk", "/desk/list", "/desk/alerts/1", "/sites", "/sites/H001", "/devices", "/devices/H001-SW-1",
    "/devices/H002-SW-1", "/devices/H001-SW-1/interfaces", "/services", "/events", "/search?q=H001", "/compliance",
    "/compliance/sites/H001", "/playbooks", "/findings",  "/admin",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_page_opens_in_both_languages(operator: FlaskClient, path: str, language: str) -> None:
    operator.set_cookie("zs_lang", language)
    answer = operator.get(path)
    assert answer.status_code == 200
    assert "style=" not in answer.text
    assert "<script>" not in answer.text

"""Pages show what is true, and only to those who may see it."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

PAGES = [
    "/",
    "/desk",
    "/sites",
    "/sites/H001",
    "/devices",
    "/devices/H001-SW-1",
    "/devices/H002-SW-1",
    "/services",
    "/events",
    "/search?q=H001",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_page_opens_in_both_languages(operator: FlaskClient, path: str, language: str) -> None:
    operator.set_cookie("zs_lang", language)
    answer = operator.get(path)
    assert answer.status_code == 200
    assert f'<html lang="{"zh-CN" if language == "zh" else "en"}"' in answer.text
    assert "style=" not in answer.text
    assert "<script>" not in answer.text

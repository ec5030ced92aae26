"""Requests meant to hurt: each is refused with a reason, quickly, and leaves no memory behind."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from monitor.metrics.api import queries

API = "/prometheus/api/v1"
MIB = 1 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


DEEP = 20_000
HOSTILE = {
    "10 MB query": {"query": "1+" * 5_000_000 + "1"},
    "10 MB of brackets": {"query": "(" * 10_000_000},
    "nested brackets": {"query": "(" * DEEP + "1" + ")" * DEEP},
    "nested calls": {"query": "abs(" * 7000 + "vector(1)" + ")" * 7000},
    "nested braces": {"query": "{" * DEEP},
    "nested ranges": {"query": "up" + "[1m:1s]" * 5000},
    "chain of minus": {"query": "-" * DEEP + "1"},
    "chain of powers": {"query": "2" + "^2" * 4000},
    "10 MB regex": {"query": 'up{a=~"' + "a|" * 5_000_000 + 'b"}'},
    "regex bomb": {"query": 'up{a=~"(((a{1000}){1000}){1000})"}'},
    "regex of 16 kB": {"query": 'up{a=~"' + "(a?" * 5000 + '"}'},
    "long label": {"query": 'up{a="' + "x" * 20_000 + '"}'},
    "not a time": {"query": "up", "time": "NaN"},
    "a long time": {"query": "up", "time": "9" * 500_000 + "x"},
    "a long duration": {"query": "up", "timeout": "9" * 100_000 + "h"},
    "no duration": {"query": "up", "lookback_delta": "NaN"},
    "nul": {"query": "up\x00"},
    "nothing but nul": {"query": "\x00" * 1000},
    "unpaired quote": {"query": 'up{a="' + "\\" * 9999},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_with_a_reason(client: FlaskClient, name: str) -> None:
    start = time.monotonic()
    answer = client.post(f"{API}/query", data=HOSTILE[name])
    assert time.monotonic() - start < 2
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.get_json()["status"] == "error"
    assert 10 < len(answer.get_json()["error"]) < 50_000
    assert client.get(f"{API}/query?query=1").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "query_range?query=1&start=0&end=1e15&step=1e-3",
        "query_range?query=1&start=-1e300&end=1e300&step=1",
        "query_range?query=1&start=0&end=1e9&step=1e-300",
        "query_range?query=1&start=NaN&end=1&step=1",
        "query_range?query=1&start=0&end=1&step=Inf",
        "query?query=%ff%fe",
        "query?query=up%7Ba%3D%22%c3%28%22%7D",
        "query?" + "a=1&" * 20_000 + "query=1",
        "series?match[]=%ed%a0%80",
        "label/a/values?limit=" + "9" * 5000,
        "labels?limit=1e3",
        "series?" + "match[]=up&" * 1000,
        "series?" + "&".join(["match[]=" + quote('up{a=~"(x{1000}){1000}"}')] * 3),
    ],
)
def test_addresses(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == 400
    assert answer.get_json()["error"]


def test_times_before_1970_are_times(client: FlaskClient) -> None:
    assert client.get(f"{API}/query?query=up&time=-1e9").get_json()["data"]["result"] == []
    answer = client.get(f"{API}/query_range?query=time()&start=-1.5&end=0&step=1.5").get_json()
    assert answer["data"]["result"][0]["values"] == [[-1.5, "-1.5"], [0, "0"]]


def test_a_bad_body_is_refused(client: FlaskClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post(f"{API}/query", data=b"query=\xff\xfe", headers=form)
    assert (answer.status_code, answer.get_json()["errorType"]) == (400, "bad_data")
    assert "UTF-8" in answer.get_json()["error"]
    answer = client.post(f"{API}/query", data=b"query=1&x=" + b"y" * (2 * MIB), headers=form)
    assert answer.status_code == 413
    assert answer.get_json()["errorType"] == "bad_data"


@pytest.mark.parametrize(
    "call",
    [
        "label_replace({}, 'device', '" + "$1" * 10 + "', 'device', '(.*)')",
        "label_join({}, 'device', '', " + ", ".join(["'device'"] * 10) + ")",
    ],
)
def test_labels_do_not_grow_without_end(client: FlaskClient, call: str) -> None:
    query = "up"
    for _ in range(12):
        query = call.format(query)
    answer = client.post(f"{API}/query", data={"query": query})
    assert (answer.status_code, answer.get_json()["errorType"]) == (422, "execution")
    assert "more than 65536 characters" in answer.get_json()["error"]


def test_an_answer_too_large_to_send_is_refused(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_POINTS", 20)
    for path, status in (
        ("query_range?query=up&start=1795262000&end=1795262400&step=10", 422),
        ("query?query={job='snmp'}[10m]", 422),
        ("query?query=up[5m]", 200),
        ("query_range?query=up&start=1795262000&end=1795262400&step=60&limit=1", 200),
    ):
        answer = client.get(f"{API}/{path}")
        assert answer.status_code == status, answer.text
        assert answer.content_length == len(answer.data)


def test_memory_goes_back_to_where_it_was(app: Flask) -> None:
    """All of it at once, from several threads, again and again."""
    bodies = [urlencode(fields).encode() for fields in HOSTILE.values()]

    def attack() -> None:
        client = app.test_client()
        for body in bodies:
            client.post(f"{API}/query", data=body, content_type="application/x-www-form-urlencoded")

    def resident_after_a_round() -> int:
        threads = [threading.Thread(target=attack) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        return resident()

    first = max(resident_after_a_round() for _ in range(2))  # Caches and arenas grow once.
    last = max(resident_after_a_round() for _ in range(3))
    assert last - first < 16 * MIB

"""Has a core scan a site's known ranges over the JSON API, and follows the scan to its end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from collectors.uplink import CoreClient
from monitor.errors import InputError, UnreachableError, ZhishouError

_EVERY: Final = 1.0
_OVER: Final = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Following:
    """How far the followed scans are together."""

    done: int
    total: int
    found: int


def follow(
    url: str, token: str, site: str, stop: threading.Event, on_progress: Callable[[Following], None]
) -> dict[str, object]:
    """Start and follow; returns the sums over the site's scans: site, scans, state, done, total, found, reason.
    Once `stop` is set the scans are cancelled. Raises UnreachableError or InputError when the core refuses.
    """
    client = CoreClient(url, token)
    try:
        started = _ask(client, "POST", f"/api/v1/discovery/sites/{quote(site, safe='')}/scan")
        ids = [int(str(number)) for number in _list(started.get("scans"))]
        while True:
            scans = [_ask(client, "GET", f"/api/v1/discovery/scans/{number}") for number in ids]
            sums = {key: sum(_int(scan.get(key)) for scan in scans) for key in ("done", "total", "found")}
            on_progress(Following(**sums))
            if all(scan.get("state") in _OVER for scan in scans):
                break
            if stop.is_set():
                scans = [_ask(client, "POST", f"/api/v1/discovery/scans/{number}/cancel") for number in ids]
                break
            stop.wait(_EVERY)
    finally:
        client.close()
    worst = next((s for s in scans if s.get("state") != "done"), scans[0] if scans else {})
    return {
        "site": site,
        "scans": ids,
        "state": worst.get("state", "done"),
        **sums,
        "reason": worst.get("reason"),
    }


def _ask(client: CoreClient, method: str, path: str) -> dict[str, object]:
    answer = client.request(method, path, body=b"" if method == "POST" else None)
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnreachableError(f"the server answers {answer.status} without JSON", where=client.url)
    if answer.status in {401, 403}:
        raise InputError(
            f"the server refuses ({answer.status})",
            where=path,
            hint="set $ZHISHOU_TOKEN to a token with the scope write",
            zh="服务器拒绝访问，请在 $ZHISHOU_TOKEN 中给出 write 范围的令牌",
        )
    if answer.status >= 400:
        detail = str(document.get("detail") or document.get("title") or answer.status)
        raise (InputError if answer.status < 500 else ZhishouError)(detail, where=path)
    return document


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0

"""What the core says about itself: its metrics, and how the metric store is."""

from __future__ import annotations

import threading
import time
from typing import cast

import orjson
import structlog
from flask import Flask, current_app

from dashboards.backend import Backend
from monitor.core_socket import ask_core
from monitor.documents import from_document
from monitor.errors import InputError, UnreachableError
from monitor.metrics.condition import ADDRESS, StoreReport

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0  # a page must not hang because the core does
FRESH_SECONDS = 5.0
_NAME = "zhishou-store-report"


class StoreReports:
    """The core's report on its store, asked for by everybody's pages together once in `FRESH_SECONDS`."""

    def __init__(self, stands_on: Backend) -> None:
        self._path = stands_on.settings.socket_path
        self._lock = threading.Lock()
        self._report: StoreReport | None = None
        self._asked_at = float("-inf")

    def latest(self) -> StoreReport | None:
        """The report, None while the core does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._report = self._ask()
                self._asked_at = time.monotonic()
            return self._report

    def _ask(self) -> StoreReport | None:
        try:
            document = orjson.loads(ask_core(self._path, ADDRESS, seconds=ASK_SECONDS))
            return from_document(StoreReport, document, ADDRESS)
        except (UnreachableError, InputError, orjson.JSONDecodeError) as error:
            log.warning("no-report-of-the-core", error=str(error))
            return None


def install(app: Flask, stands_on: Backend) -> None:
    """Make `store_report` work in an application."""
    app.extensions[_NAME] = StoreReports(stands_on)


def store_report() -> StoreReport | None:
    """How the metric store is, at most `FRESH_SECONDS` old; None while the core does not answer."""
    return cast("StoreReports", current_app.extensions[_NAME]).latest()

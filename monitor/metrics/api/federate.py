"""`/federate`: the newest samples of selected series as exposition text, for another server to scrape."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, request

from monitor.metrics.api.answers import packed
from monitor.metrics.api.arguments import read_arguments
from monitor.metrics.api.exposition import accepted, write_text
from monitor.metrics.api.parts import Parts
from monitor.metrics.interface import QueryControl
from monitor.metrics.latest import newest


@dataclass(frozen=True, slots=True)
class FederationView:
    """The view; it reads the current request."""

    parts: Parts

    def federate(self) -> Response:
        """The series that match any of `match[]` and have a sample within the lookback, with its time stamp."""
        selections = read_arguments().selections()
        now = self.parts.clock.now_ms()
        since = now - QueryControl().lookback_ms
        form = accepted(request.headers.get("Accept", ""))
        with self.parts.place():
            found = [newest(self.parts.store.window(matchers, since, now)) for matchers in selections]
            text = write_text(found, form)
        return packed([text.encode()], 200, form.content_type)

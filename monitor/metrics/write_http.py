"""The remote write view: `POST /prometheus/api/v1/write` takes samples and answers when they are on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import BoundedSemaphore

import numpy as np
import structlog
from flask import Blueprint, Response, request

from monitor.metrics import remote_write
from monitor.metrics.errors import IngestError, StorageError
from monitor.metrics.interface import MetricStore, SampleBlock

log = structlog.get_logger(__name__)

_WRITERS = 16
_WRITE_WAIT_SECONDS = 10.0

Sites = Callable[[frozenset[str]], frozenset[str]]


def add_write(blueprint: Blueprint, store: MetricStore, *, sites: Sites | None = None) -> None:
    """Give a blueprint the view `/write` into a store. `sites`: which ones given collectors may write of."""
    view = _Write(store, sites)
    blueprint.add_url_rule("/write", "write", view.write, methods=["POST"])


class _Write:
    """The view and what it needs."""

    def __init__(self, store: MetricStore, sites: Sites | None) -> None:
        self._store = store
        self._sites = sites
        self._writers = BoundedSemaphore(_WRITERS)

    def write(self) -> Response:
        """Remote write; 204 says that the samples are on disk."""
        if not self._writers.acquire(timeout=_WRITE_WAIT_SECONDS):
            return _plain("too many writers at the same time", 429, {"Retry-After": "5"})
        try:
            return self._write()
        finally:
            self._writers.release()

    def _write(self) -> Response:
        try:
            block = remote_write.decode(
                request.get_data(cache=False),
                content_type=request.headers.get("Content-Type", ""),
                content_encoding=request.headers.get("Content-Encoding", ""),
            )
        except IngestError as error:
            return _plain(str(error), error.status)
        # Set by the web process for a token bound to collectors: they say nothing of others' sites.
        if self._sites is not None and (collectors := request.headers.get("X-Zhishou-Collector", "")):
            block = _of_sites(block, self._sites(frozenset(collectors.split(","))))
        try:
            result = self._store.append(block, durable=True)
        except (StorageError, OSError) as error:
            log.error("samples cannot be stored", error=str(error))
            return _plain("samples cannot be stored now", 503, {"Retry-After": "10"})
        written = result.accepted + result.duplicate
        return _plain("", 204, {"X-Prometheus-Remote-Write-Samples-Written": str(written)})


def _of_sites(block: SampleBlock, sites: frozenset[str]) -> SampleBlock:
    """Without the samples whose series name another site; a series that names none is the collector's own."""
    foreign = [
        number
        for number, labels in enumerate(block.labels)
        if any(name == "site" and value not in sites for name, value in labels)
    ]
    if not foreign:
        return block
    kept = ~np.isin(block.series, foreign)
    log.warning("samples of other collectors' sites refused", samples=int((~kept).sum()))
    return SampleBlock(block.labels, block.series[kept], block.timestamps[kept], block.values[kept])


def _plain(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        text + "\n" if text else "", status, dict(headers or {}), content_type="text/plain; charset=utf-8"
    )

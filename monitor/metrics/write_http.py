"""The remote write view: `POST /prometheus/api/v1/write` takes samples and answers when they are on disk.

200                 everything is on disk (not 204, after which waitress closes the connection)
400                 malformed; or some samples are refused for good (too old, conflicting, no metric name ...): the
                    others are on disk, the text says how many were refused, why, and names a series
413, 415            too large; not remote write
429, 503            too many writers; the disk does not take it: try again after `Retry-After` seconds

A sender repeats a request after 429 and 5xx only, so that with 400 whatever is good must have been stored. How many
samples were is in the headers of remote write 2.0. Exemplars are never stored, which is no error; native histograms
are refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import structlog
from flask import Blueprint, Response, request

from monitor.metrics.bounded import BoundedCache
from monitor.metrics.errors import IngestError, StorageError
from monitor.metrics.interface import AppendResult, Labels, MetricStore, SampleBlock
from monitor.metrics.metadata import Metadata
from monitor.metrics.refusals import Refusals
from monitor.metrics.remote_write import Decoder, Received
from monitor.metrics.remote_write.labels import shown
from monitor.metrics.write_gate import WriteGate

log = structlog.get_logger(__name__)

_MAX_BODY = 40 << 20
_RETRY_SECONDS = 5
_LOG_SECONDS = 60.0
_SITE_CACHE_BYTES = 4 << 20
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"

Sites = Callable[[frozenset[str]], frozenset[str]]


def add_write(
    blueprint: Blueprint,
    store: MetricStore,
    *,
    sites: Sites | None = None,
    metadata: Metadata | None = None,
    decoder: Decoder | None = None,
    gate: WriteGate | None = None,
    refusals: Refusals | None = None,
) -> None:
    """Give a blueprint the view `/write` into a store.

    `sites`: which ones given collectors may write of. `metadata`: where types and help texts go. `refusals`: told
    when the disk does not take the samples, and when it does again.
    """
    view = WriteView(store, sites, metadata, decoder or Decoder(), gate or WriteGate(), refusals)
    blueprint.add_url_rule("/write", "write", view.write, methods=["POST"])


class WriteView:
    """The view and what it needs."""

    __slots__ = ("_decoder", "_gate", "_logged_at", "_metadata", "_own", "_refusals", "_sites", "_store")

    def __init__(
        self,
        store: MetricStore,
        sites: Sites | None,
        metadata: Metadata | None,
        decoder: Decoder,
        gate: WriteGate,
        refusals: Refusals | None = None,
    ) -> None:
        self._store = store
        self._refusals = refusals
        self._sites = sites
        self._metadata = metadata
        self._decoder = decoder
        self._gate = gate
        self._own = _OwnSites()
        self._logged_at = -_LOG_SECONDS

    def write(self) -> Response:
        """Remote write; see the module."""
        try:
            if (request.content_length or 0) > _MAX_BODY:
                raise IngestError(f"the body has more than {_MAX_BODY} bytes", status=413)
            body = request.get_data(cache=False)
            environ = request.environ  # Far quicker to look into than `request.headers`.
            kind = environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING", "")
            with self._gate.place(
                self._decoder.size_of(body, content_type=kind[0], content_encoding=kind[1])
            ):
                return self._write(body, *kind)
        except IngestError as error:
            again = {"Retry-After": str(_RETRY_SECONDS)} if error.status == 429 else {}
            return _answer(str(error), error.status, 0, again)
        except (StorageError, OSError) as error:
            log.error("samples cannot be stored", error=str(error))
            if self._refusals is not None:
                self._refusals.refused(error)
            return _answer("samples cannot be stored now", 503, 0, {"Retry-After": str(2 * _RETRY_SECONDS)})

    def _write(self, body: bytes, content_type: str, content_encoding: str) -> Response:
        received = self._decoder.decode(body, content_type=content_type, content_encoding=content_encoding)
        if received.notes and self._metadata is not None:
            self._metadata.note(received.notes)
        block, refused = received.block, _refused(received)
        # Set by the web process for a token bound to collectors: they say nothing of others' sites.
        if self._sites is not None and (collectors := request.headers.get("X-Zhishou-Collector", "")):
            block = self._own.only(block, self._sites(frozenset(collectors.split(","))), refused)
        result = self._store.append(block, durable=True)
        if self._refusals is not None:
            self._refusals.taken()
        _add(refused, result)
        written = result.accepted + result.duplicate
        if not refused.counts:
            return _answer("", 200, written)
        text = f"{written} samples stored, {refused.counts.total()} refused: {refused.text()}"
        self._note_refusal(text)
        return _answer(text, 400, written)

    def _note_refusal(self, text: str) -> None:
        """Tell the operator as well, but of one request a minute."""
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.warning("samples of a write request refused", answer=text)


class _Refused:
    """Refused samples by reason, with an example for each."""

    __slots__ = ("counts", "examples")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, reason: str, samples: int, example: str) -> None:
        """Samples refused for a reason; the first example counts."""
        if samples:
            self.counts[reason] += samples
            self.examples.setdefault(reason, example)

    def text(self) -> str:
        """All reasons in a sentence."""
        return "; ".join(
            f"{count} {reason}" + (f", e.g. {self.examples[reason]}" if self.examples[reason] else "")
            for reason, count in self.counts.most_common()
        )


def _refused(received: Received) -> _Refused:
    """What the request itself is to blame for."""
    refused = _Refused()
    for reason, refusal in received.refusals.items():
        # A series without a sample says nothing, but its sender should know all the same.
        refused.add(reason, max(refusal.samples, 1), refusal.example)
    refused.add("native_histograms_not_stored", received.histograms, "")
    return refused


def _add(refused: _Refused, result: AppendResult) -> None:
    """What the store refused."""
    for reason, samples in result.reasons.items():
        labels = result.examples.get(reason)
        refused.add(reason, samples, shown(labels) if labels else "")


class _OwnSites:
    """Keeps a collector to its sites. Which ones a repeated list of labels names is remembered."""

    __slots__ = ("_named",)

    def __init__(self) -> None:
        # The list is kept with its id, so that no other one has that id.
        self._named: BoundedCache[int, tuple[Sequence[Labels], frozenset[str]]] = BoundedCache(
            _SITE_CACHE_BYTES, lambda _key, named: 500 + 8 * len(named[0])
        )

    def only(self, block: SampleBlock, sites: frozenset[str], refused: _Refused) -> SampleBlock:
        """The block without the samples of other sites; a series that names none is the collector's own."""
        labels = block.labels
        known = self._named.get(id(labels))
        named = known[1] if known is not None and known[0] is labels else None
        if named is None:
            named = frozenset([value for one in labels for name, value in one if name == "site"])
            self._named.put(id(labels), (labels, named))
        if named <= sites:
            return block
        foreign = [
            number for number, one in enumerate(labels) if any(n == "site" and v not in sites for n, v in one)
        ]
        kept = ~np.isin(block.series, foreign)
        refused.add("site_of_another_collector", int((~kept).sum()), shown(labels[foreign[0]]))
        return SampleBlock(labels, block.series[kept], block.timestamps[kept], block.values[kept])


def _answer(text: str, status: int, written: int, more: Mapping[str, str] | None = None) -> Response:
    headers = {
        _WRITTEN.format("Samples"): str(written),
        _WRITTEN.format("Histograms"): "0",
        _WRITTEN.format("Exemplars"): "0",
        **(more or {}),
    }
    body = text + "\n" if text else ""
    return Response(body, status, headers, content_type="text/plain; charset=utf-8")

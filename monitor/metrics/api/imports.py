"""`POST import/prometheus`: samples as exposition text, in the Prometheus text format or OpenMetrics.

For scripts and programs that can write a text file but no remote write. Query parameters as in VictoriaMetrics:
`extra_label=NAME=VALUE` (repeated) is set on every series, `timestamp=MS` is the time of samples that carry none.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import BoundedSemaphore

import structlog
from flask import Response, request
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from monitor.metrics.api.answers import plain
from monitor.metrics.api.arguments import Arguments, read_address
from monitor.metrics.api.parts import Parts
from monitor.metrics.errors import IngestError, QueryError, StorageError
from monitor.metrics.interface import AppendResult, Labels, SampleBlock, block_of, make_labels
from monitor.metrics.metadata import MetricInfo, MetricType, Note
from monitor.metrics.remote_write.labels import shown
from monitor.metrics.write_http import Sites

log = structlog.get_logger(__name__)

MAX_TEXT = 8 << 20  # bytes, some 200,000 samples; parsing them keeps a core busy for seconds
_PARSERS = 2
_WAIT_SECONDS = 10.0
_LARGEST_MS = 1 << 53
_SAYS_ITSELF = frozenset(type_.value for type_ in MetricType)


@dataclass(frozen=True, slots=True)
class ImportView:
    """The view. `sites`: which ones given collectors may write of."""

    parts: Parts
    sites: Sites | None
    places: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_PARSERS))

    def import_prometheus(self) -> Response:
        """204 when everything is on disk; 400 says what is not, and why (the rest is stored)."""
        if not self.places.acquire(timeout=_WAIT_SECONDS):
            return plain("too many imports at the same time", 429, {"Retry-After": "5"})
        try:
            return self._import()
        except IngestError as error:
            return plain(str(error), error.status)
        except QueryError as error:
            return plain(str(error), 400)
        except (StorageError, OSError) as error:
            log.error("samples cannot be stored", error=str(error))
            return plain("samples cannot be stored now", 503, {"Retry-After": "10"})
        finally:
            self.places.release()

    def _import(self) -> Response:
        arguments = read_address()  # curl calls any body a form.
        extra = _extra_labels(arguments)
        at = arguments.limit("timestamp") or self.parts.clock.now_ms()
        families = _families(_text(), openmetrics=request.mimetype == "application/openmetrics-text")
        block = block_of(
            (make_labels({**sample.labels, **extra}, sample.name), _time(sample.timestamp, at), sample.value)
            for family in families
            for sample in family.samples
        )
        block, foreign = self._own(block)
        result = self.parts.store.append(block, durable=True)
        self.parts.metadata.note(_notes(families))
        return _answer(result, foreign)

    def _own(self, block: SampleBlock) -> tuple[SampleBlock, int]:
        """Without the samples of sites that the collector of this request does not serve, and how many those are."""
        # Set by the web process for a token bound to collectors: they say nothing of others' sites.
        collectors = request.headers.get("X-Zhishou-Collector", "")
        if self.sites is None or not collectors:
            return block, 0
        allowed = self.sites(frozenset(collectors.split(",")))
        kept = [i for i, series in enumerate(block.series.tolist()) if _is_of(block.labels[series], allowed)]
        foreign = len(block.series) - len(kept)
        return (
            SampleBlock(block.labels, block.series[kept], block.timestamps[kept], block.values[kept]),
            foreign,
        )


def _is_of(labels: Labels, sites: frozenset[str]) -> bool:
    return all(name != "site" or value in sites for name, value in labels)


def _answer(result: AppendResult, foreign: int) -> Response:
    reasons = dict(result.reasons)
    if foreign:
        reasons["site_of_another_collector"] = foreign
    written = {"X-Prometheus-Remote-Write-Samples-Written": str(result.accepted + result.duplicate)}
    if not reasons:
        return plain("", 204, written)
    told = ", ".join(
        f"{count} {reason}" + (f", e.g. {shown(labels)}" if (labels := result.examples.get(reason)) else "")
        for reason, count in sorted(reasons.items())
    )
    return plain(f"samples not stored: {told}", 400, written)


def _extra_labels(arguments: Arguments) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in arguments.texts("extra_label")]
    if any(not name or not equals or name == "__name__" for name, equals, _ in pairs):
        raise IngestError('invalid parameter "extra_label"', hint="write it as extra_label=NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _text() -> str:
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if (request.content_length or 0) > MAX_TEXT:
        raise _too_large()
    raw = request.get_data(cache=False)
    if encoding == "gzip":
        raw = _gunzip(raw)
    elif encoding not in ("", "identity"):
        raise IngestError(f"Content-Encoding {encoding[:40]!r} is not known", status=415, hint="use gzip")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IngestError(f"the text is not valid UTF-8: {error.reason} at byte {error.start}") from None


def _gunzip(raw: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        text = stream.decompress(raw, MAX_TEXT + 1)
    except zlib.error as error:
        raise IngestError(f"the body is not gzip: {error}") from None
    if len(text) > MAX_TEXT:
        raise _too_large()
    if not stream.eof:
        raise IngestError("the gzip body is cut off")
    return text


def _too_large() -> IngestError:
    return IngestError(f"the text has more than {MAX_TEXT} bytes", status=413, hint="send it in parts")


def _families(text: str, *, openmetrics: bool) -> list[Metric]:
    parse: Callable[[str], Iterable[Metric]] = openmetrics_families if openmetrics else text_families
    try:
        return list(parse(text))
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # The parsers meet some malformed lines with whatever their string handling raises.
        reason = str(error) if isinstance(error, ValueError) else "a line cannot be read"
        raise IngestError(f"malformed exposition text: {reason[:300]}") from None


def _time(timestamp: object, default: int) -> int:
    if timestamp is None:
        return default
    ms = float(timestamp) * 1000  # type: ignore[arg-type]  # a float, or OpenMetrics's own type with __float__
    if not math.isfinite(ms) or abs(ms) >= _LARGEST_MS:
        raise IngestError("malformed exposition text: a time stamp is out of range")
    return round(ms)


def _notes(families: list[Metric]) -> Iterator[Note]:
    for family in families:
        if family.type not in _SAYS_ITSELF or not (family.documentation or family.type != "unknown"):
            continue
        info = MetricInfo(MetricType(family.type), family.documentation, family.unit)
        names = {sample.name for sample in family.samples}
        yield (total if (total := f"{family.name}_total") in names else family.name), info

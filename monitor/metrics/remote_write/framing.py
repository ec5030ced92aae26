"""A remote write 1.0 message read by hand: series by series their label bytes, all samples at once with numpy.

Every reader here gives up (None) on what does not look as writers usually write it, and the next, slower one has its
turn; the last is protobuf itself. What a reader takes, protobuf takes, and reads the same in it: label bytes are known
to be label fields and nothing else, and what follows them is samples to the last byte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.metrics.errors import IngestError
from monitor.metrics.interface import Floats, Ints, Labels
from monitor.metrics.protocol import remote_write_pb2 as v1
from monitor.metrics.remote_write.envelope import Bytes, RequestLimits
from monitor.metrics.remote_write.labels import Flaw, LabelTable
from monitor.metrics.remote_write.samples import FULL, PADDING, Samples, read_samples, read_tails


@dataclass(frozen=True, slots=True)
class Columns:
    """What series hold: the label set and number of samples of each, and the samples one after the other.

    `places` says where in the joined series each sample begins and which form it has, when that is known.
    """

    labels: list[Labels | Flaw]
    counts: Ints
    times: Ints
    values: Floats
    places: tuple[Ints, Ints] | None = None
    exemplars: int = 0
    histograms: int = 0


def read_series(bodies: list[bytes], table: LabelTable, limits: RequestLimits) -> Columns:
    """The columns of serialised `TimeSeries`. Raises IngestError (413) and protobuf's DecodeError."""
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    if lengths.max(initial=0) > limits.series_bytes:
        raise IngestError(
            f"a series of the request has more than {limits.series_bytes} bytes",
            status=413,
            hint="send fewer samples of a series at a time",
        )
    data = np.frombuffer(b"".join([*bodies, PADDING]), np.uint8)
    return (
        _by_tails(bodies, data, lengths, table)
        or _by_steps(bodies, data, table, limits)
        or _by_protobuf(bodies, table, limits)
    )


def _by_tails(bodies: list[bytes], data: Bytes, lengths: Ints, table: LabelTable) -> Columns | None:
    """Series of one sample each, which is what is not labels at their end."""
    if not len(bodies) or lengths.min() <= FULL:
        return None
    ends = np.cumsum(lengths)
    samples = read_tails(data, ends)
    if samples is None:
        return None
    if (samples.form == FULL).all():
        keys = [body[:-FULL] for body in bodies]
    else:
        keys = [body[:-form] for body, form in zip(bodies, samples.form.tolist(), strict=True)]
    labels = table.find(keys)
    if labels is None:
        return None
    counts = np.ones(len(bodies), np.int64)
    return Columns(labels, counts, samples.times, samples.values, (ends - samples.form, samples.form))


def _by_steps(bodies: list[bytes], data: Bytes, table: LabelTable, limits: RequestLimits) -> Columns | None:
    """Series of any number of samples, stepping from field to field."""
    keys: list[bytes] = []
    counts: list[int] = []
    at: list[int] = []
    base = 0
    for body in bodies:
        try:
            end = _step(body, base, at)
        except IndexError:  # A length that leads beyond the end.
            return None
        if end < 0:
            return None
        keys.append(body[:end])
        counts.append(len(at))
        base += len(body)
        check_count(len(at), limits)
    places = np.array(at, np.int64)
    samples = read_samples(data, places) if at else _NO_SAMPLES
    labels = table.find(keys) if samples is not None else None
    if samples is None or labels is None:
        return None
    return Columns(labels, differences(counts), samples.times, samples.values, (places, samples.form))


_NO_SAMPLES = Samples(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64))


def _step(body: bytes, base: int, at: list[int]) -> int:
    """Where the labels of a series end; its samples' offsets are added to `at`. -1 when there is more in it."""
    here, size = 0, len(body)
    while here < size and body[here] == 0x0A:
        length = body[here + 1]
        if length > 0x7F:
            upper = body[here + 2]
            if upper > 0x7F:
                return -1
            length = length & 0x7F | upper << 7
            here += 1
        here += 2 + length
    end = here
    while here < size:
        if body[here] != 0x12:
            return -1
        at.append(base + here)
        here += 2 + body[here + 1]
    return end if here == size else -1


def _by_protobuf(bodies: list[bytes], table: LabelTable, limits: RequestLimits) -> Columns:
    """Whatever protobuf understands."""
    labels: list[Labels | Flaw] = []
    counts: list[int] = []
    times: list[int] = []
    values: list[float] = []
    exemplars = histograms = 0
    for body in bodies:
        series = v1.TimeSeries.FromString(body)
        samples = series.samples
        check_count(len(times) + len(samples), limits)
        labels.append(table.named(series.labels))
        counts.append(len(samples))
        exemplars += len(series.exemplars)
        histograms += len(series.histograms)
        for sample in samples:
            times.append(sample.timestamp)
            values.append(sample.value)
    return Columns(
        labels,
        np.array(counts, np.int64),
        np.array(times, np.int64),
        np.array(values, np.float64),
        exemplars=exemplars,
        histograms=histograms,
    )


def differences(totals: list[int]) -> Ints:
    """How much each running total adds to the one before it."""
    ends = np.array([0, *totals], np.int64)
    return np.asarray(ends[1:] - ends[:-1])


def check_count(samples: int, limits: RequestLimits) -> None:
    """Raises IngestError 413 for too many samples."""
    if samples > limits.samples:
        raise IngestError(
            f"the request has more than {limits.samples} samples", status=413, hint="send smaller requests"
        )

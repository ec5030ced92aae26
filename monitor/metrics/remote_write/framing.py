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
from monitor.metrics.remote_write.samples import FULL, PADDING, read_samples, read_tails

_MOST_LABELS = 100
_FEW = 16


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
        or _by_steps(bodies, data, lengths, table, limits)
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


def _by_steps(
    bodies: list[bytes], data: Bytes, lengths: Ints, table: LabelTable, limits: RequestLimits
) -> Columns | None:
    """Series of any number of samples, stepping from field to field in all of them at the same time."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    label_ends = _after_labels(data, starts, ends)
    places = _places(data, label_ends, ends, limits) if label_ends is not None else None
    samples = read_samples(data, places) if places is not None else None
    if label_ends is None or places is None or samples is None:
        return None
    sizes = (label_ends - starts).tolist()
    labels = table.find([body[:size] for body, size in zip(bodies, sizes, strict=True)])
    if labels is None:
        return None
    counts = np.diff(np.searchsorted(places, ends), prepend=0).astype(np.int64)
    return Columns(labels, counts, samples.times, samples.values, (places, samples.form))


def _after_labels(data: Bytes, starts: Ints, ends: Ints) -> Ints | None:
    """Where the label fields of each series end; None for fields of no usual length."""
    here = starts.copy()
    active = np.arange(len(starts))
    for _ in range(_MOST_LABELS):
        active = active[(here[active] < ends[active]) & (data[here[active]] == 0x0A)]
        if not len(active):
            return here
        at = here[active]
        length = data[at + 1].astype(np.int64)
        long = length > 0x7F
        if long.any():
            upper = data[at + 2].astype(np.int64)
            if (long & (upper > 0x7F)).any():
                return None
            length = np.where(long, length & 0x7F | upper << 7, length) + long
        here[active] = at + 2 + length
        if (here[active] > ends[active]).any():
            return None
    return None


def _places(data: Bytes, here: Ints, ends: Ints, limits: RequestLimits) -> Ints | None:
    """Where the samples of all series are; None when there is anything else."""
    found: list[Ints] = []
    count = 0
    going = here < ends
    here, ends = here[going], ends[going]
    while len(here) > _FEW:
        if (data[here] != 0x12).any():
            return None
        found.append(here)
        count += len(here)
        check_count(count, limits)
        here = here + 2 + data[here + 1]
        if (here > ends).any():
            return None
        going = here < ends
        if not going.all():
            here, ends = here[going], ends[going]
    for at, end in zip(here.tolist(), ends.tolist(), strict=True):
        rest = _steps(data[at:end].tobytes())
        if rest is None:
            return None
        count += len(rest)
        check_count(count, limits)
        found.append(np.array(rest, np.int64) + at)
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _steps(fields: bytes) -> list[int] | None:
    """The offsets of samples of a single series, None when there is anything else."""
    found: list[int] = []
    here, size = 0, len(fields)
    while here < size:
        if fields[here] != 0x12 or here + 1 == size:
            return None
        found.append(here)
        here += 2 + fields[here + 1]
    return found if here == size else None


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

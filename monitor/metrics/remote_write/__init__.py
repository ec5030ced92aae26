"""Prometheus remote write: request bodies to sample blocks and back.

1.0 (`application/x-protobuf`, also `;proto=prometheus.WriteRequest`) and 2.0
(`;proto=io.prometheus.write.v2.Request`), always Snappy block format. Exemplars and native histograms are counted
and skipped. Sources:
https://prometheus.io/docs/specs/prw/remote_write_spec/ and .../remote_write_spec_2_0/.

envelope    content type and decompression, with limits     template    messages whose layout repeats
framing     1.0 by hand, by protobuf as the last resort     labels      raw label bytes to label sets
samples     values and times by numpy                       bounded     the cache behind both directions
v2, notes   2.0 and metadata                                decode, encode    the way in and the way out
"""

from __future__ import annotations

from monitor.metrics.remote_write.decode import Decoder, Received, Refusal, decode
from monitor.metrics.remote_write.encode import Encoder, encode
from monitor.metrics.remote_write.envelope import CONTENT_TYPE, RequestLimits, Version

__all__ = [
    "CONTENT_TYPE",
    "Decoder",
    "Encoder",
    "Received",
    "Refusal",
    "RequestLimits",
    "Version",
    "decode",
    "encode",
]

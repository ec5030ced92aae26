"""Selectors and range functions over many series at once, straight on the store's time-major matrices.

What these give is what the flat path (samples.py and functions/) gives, which stays the reference and serves few
series, subqueries and rare functions. The work is done step by step: bounds once a group of series (frame.py), values
once a row (the kernels). To add a function, write a kernel, name it in `KERNELS`, and the tests that run every
conformance case on both paths find it.
"""

from __future__ import annotations

from monitor.metrics.promql.columns.kernel import KERNELS, sweep
from monitor.metrics.promql.columns.latest import latest

__all__ = ["KERNELS", "latest", "sweep"]

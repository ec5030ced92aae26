"""The PromQL functions, one small file per family.

A family module has a constant `FUNCTIONS`: name -> Function. To add a function, add it to its family (or add a
family here) and a case to tests/monitor/metrics/promql_cases.test.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from monitor.metrics.promql.functions import (
    calendar,
    histogram,
    label_sets,
    over_time,
    pointwise,
    rates,
    vectors,
)
from monitor.metrics.promql.functions.signature import Function

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **rates.FUNCTIONS,
        **over_time.FUNCTIONS,
        **pointwise.FUNCTIONS,
        **calendar.FUNCTIONS,
        **vectors.FUNCTIONS,
        **label_sets.FUNCTIONS,
        **histogram.FUNCTIONS,
    }
)

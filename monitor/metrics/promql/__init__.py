"""PromQL: guard, parse, compile to our own nodes, evaluate as numpy arrays of steps x series.

guard.py caps an expression before the parser sees it; compile.py turns the parser's tree into nodes.py;
evaluate.py walks the nodes; samples.py looks up samples; aggregate.py, binary.py and functions/ do the work;
engine.py is the face. Semantics are those of Prometheus 3 (left-open windows, names dropped at the end of a
query as with its `promql-delayed-name-removal`). Native histograms are not supported.
Proof: tests/monitor/metrics/test_promql_conformance.py and test_promql*.py.
"""

from __future__ import annotations

from monitor.metrics.promql.engine import PromqlEngine

__all__ = ["PromqlEngine"]

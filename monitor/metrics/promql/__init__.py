"""PromQL: guard, parse, compile to our own nodes, evaluate as numpy arrays of steps x series.

guard.py caps an expression before the parser sees it; compile.py turns the parser's tree into nodes.py, places.py
finds where calls stand in the text; evaluate.py walks the nodes; columns/ (many series) and samples.py (few) look up
samples; aggregate.py, binary.py, info.py and functions/ do the work; notes.py has the warnings and infos; engine.py is
the face. Semantics are those of Prometheus 3 (left-open windows, names dropped at the end of a query as with its
`promql-delayed-name-removal`), its experimental functions and `fill` included. Not supported: native histograms,
start times of samples, and what the parser does not know (`anchored`, `smoothed`, arithmetic on durations).
Proof: Prometheus's own test cases (test_promql_conformance.py), its compliance queries and random questions put to
Debian's Prometheus and to us (test_promql_differential.py, test_promql_fuzz.py), all in tests/monitor/metrics.
"""

from __future__ import annotations

from monitor.metrics.promql.engine import PromqlEngine

__all__ = ["PromqlEngine"]

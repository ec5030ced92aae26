"""Embedded time-series store and PromQL.

interface.py is the seam; head, wal and chunks keep samples; promql/ parses and evaluates; remote_write is the
way in; http answers the Prometheus API; memory is a small store for rule tests. To add a PromQL function, add
it to promql/functions and a case to tests/monitor/metrics. Tests: tests/monitor/metrics.
"""

"""Embedded time-series store and PromQL.

interface.py is the seam. head, class_table, block, series: the newest hours in memory; wal, chunk_file, history,
compaction, rollup: the disk; store puts both together. promql/ parses and evaluates; remote_write/ and write_http
are the way in, api/ the Prometheus API, remote/ the way to a bigger store; memory is a small store for rule tests.
To add a PromQL function, add it to promql/functions (and, when it is used on many series, a kernel to
promql/columns) and a case to tests/monitor/metrics. Tests: tests/monitor/metrics.
"""

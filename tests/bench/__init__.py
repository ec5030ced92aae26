"""Benchmarks against peers: `python -m tests.bench [NAME]`. Never part of the timed tests; figures are medians."""

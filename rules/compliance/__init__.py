"""Classified protection 2.0 (等保2.0): catalogue, checks, verdicts, scoring, evidence.

data/*.csv is the catalogue; checks/ holds one small judge a check with its fixtures in tests/rules/compliance.
Collecting (monitor.devices.FactReader) and judging (pure, facts -> verdict) are apart. verifier.py stands alone.
Tests: tests/rules/compliance.
"""

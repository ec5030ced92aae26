"""What is judged: alerting (engine, channels, desk) and compliance (catalogue, checks, verdicts, evidence).

alerts/*.yml is the rule library, each file with its *_test.yml beside it. Decisions are pure functions; the
engine and the stores sit at the edge. Tests: tests/rules.
"""

"""The alerting engine: Prometheus rule files in, alerts with ISA-18.2 states out.

states.py is the pure state machine, engine.py evaluates groups, ledger.py and channels/ notify, desk.py is what
operators do. To add a channel: one file in channels/ and an entry point. Tests: tests/rules/alerting.
"""

"""Events: ECS documents in a SQLite file per day.

interface.py is the seam; sqlite.py the embedded store. Another back end is one more file beside it that passes
tests/monitor/test_events.py.
"""

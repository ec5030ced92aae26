"""What people run: checks and suites (library/), engagements, guard, runner, findings.

guard.py is the pure scope decision; gate.py the only place that opens sockets; steps/ one file a protocol.
To add a check: one YAML in library/ with its own tests. Detection only. Tests: tests/playbooks.
"""

"""Discovery: which scans run where, what they found, what became of it, and what changed on devices we poll.

ranges.py, same.py, changes.py decide (pure); interface.py has the shapes the rooms share; scans.py, proposals.py and
journal.py keep them in the state database; projection.py feeds them from collectors' events; service.py is the part
of the core. The scanning itself is collectors/discovery.
Tests: tests/monitor/discovery.
"""

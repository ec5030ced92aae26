"""Discovery: which scans run where, what they found, what became of it, and what changed on devices we poll.

ranges.py, same.py, changes.py decide (pure); interface.py has the shapes the rooms share; scans.py, grants.py,
proposals.py and journal.py keep them in the state database, approval.py leads into the inventory, rooms.py opens all of
it; projection.py feeds it from collectors' events; service.py is the part of the core. The scanning itself is
collectors/discovery. What counts as one device is a change in same.py, what counts as a change one in changes.py.
Tests: tests/monitor/discovery.
"""

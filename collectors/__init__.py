"""Everything that talks to devices: snmp, ssh, probes; profiles are data; agent.py is the collector process.

interface.py is the seam between a poller and the agent. To add a protocol: a folder with a Poller, registered in
pollers.py, and its tests. To add a device model: one YAML in profiles/ with a walk in tests/collectors/walks.
Tests: tests/collectors.
"""

"""SNMP: codec, client sessions and the poller of one device at a time.

ber.py and message.py turn bytes into varbinds and back (both manager and agent side) and open no socket;
walk.py decides what to ask next; client.py (v1, v2c) and usm (v3) carry the requests; poller.py reads a device
through the profiles of collectors.profiles. To add a transport: an `exchange` beside client.py's.
Tests: tests/collectors/snmp (Debian's snmpd and pysnmp are the counterparts).
"""

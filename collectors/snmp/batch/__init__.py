"""Polls thousands of devices at once: requests prepared, replies compared with what they looked like last time.

The plain path (collectors.snmp.poller) reads a device the first time and whenever it changed; this room repeats that
reading from then on at a fraction of the cost and says at once when a reply is not of the known shape.
"""

"""Reads what a device knows of its neighbours over SNMP: LLDP, CDP, forwarding, ARP, link aggregation, spanning tree.

`tables` names the columns, `decode` turns them into `monitor.topology.facts.Facts` (pure), `poller` asks the device.
"""

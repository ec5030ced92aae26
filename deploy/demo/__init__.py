"""A simulated city of 20 sites and 300 devices that answers real SNMP on loopback.

city.yml-like inventory, responder, values that follow the day, scripted faults. All data invented by us.
"""

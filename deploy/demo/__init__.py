"""A simulated city of 20 sites and 300 devices that answers real SNMP on loopback. All data is invented by us.

city.py says which sites and devices there are, inventory.py registers them, signals.py how values move over the
day, faults.py what breaks when, agents/ what each kind of device answers, responder.py is the process.
To add a fault, add a row to faults.SCRIPT. Tests: tests/deploy.
"""

"""What each kind of simulated device answers: one module a family, each `rows(device, t, faults) -> list[Row]`.

A row is (OID as integers, BER tag, value). Standard tables are in interfaces.py and host.py; vendor trees beside.
"""

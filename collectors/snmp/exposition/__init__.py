"""Answers `/snmp` as snmp_exporter does: a walk of one device now, as Prometheus text.

scrape.py asks the device, collectors.profiles.modules_read makes families of the answer (pure), text.py writes them
(pure), seam.py is what monitor.devices offers to the core.
"""

"""资产: the inventory list, and the pages of one device.

inventory   the list and its CSV
views       the tabs of a device (overview, interfaces, hardware, polling), CSV, chart data
subject     what every tab stands on; verdict.py makes the sentence on top of it
reading     the metric store, one query a metric for the whole device
ports       interfaces as rows, pure; interfaces.py reads them
hardware    components, sensors, load, storage, power supplies
polls       how polling goes, why a profile was chosen, what to do when nothing is read
"""

from __future__ import annotations

from dashboards.console.devices import inventory, views
from dashboards.console.devices.blueprint import blueprint

__all__ = ["blueprint", "inventory", "views"]

"""The inventory as a YAML file: read with places, checked as a whole, compared with what is registered, applied.

document.py reads YAML with line numbers; file.py turns it into model values; plan.py compares and applies.
Tests: tests/monitor/test_inventory.py.
"""

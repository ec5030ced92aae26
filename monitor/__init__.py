"""The core every other room stands on: model, settings, state, secrets, audit, metrics, events, command line.

What belongs here: what at least two other rooms need, or what the core process itself is. This room imports
none of the others; it finds their commands, services, jobs and migrations through entry points (setup.cfg).
Tests: tests/monitor.
"""

"""Looks at a service from outside, as its users do: icmp, tcp, http, tls. Metric names are blackbox_exporter's.

Every module has one function `(Probe, host, deadline tools) -> Look` that opens its sockets and never raises for what
the other side does; poller.py turns a Look into a PollResult. To add a kind: a module, a line in poller.LOOKS, a test
in tests/collectors/probes against a local server.
"""

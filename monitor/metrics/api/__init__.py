"""The doors of the Prometheus HTTP API, one file per concern; monitor.metrics.http puts them together."""

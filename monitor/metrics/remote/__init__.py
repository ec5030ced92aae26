"""A bigger metric store beside ours: VictoriaMetrics, Mimir or Prometheus.

forwarder   every acknowledged sample goes there by remote_write, behind a durable cursor over the write-ahead log
longrange   questions about times we no longer hold are answered from there, by its PromQL API
"""

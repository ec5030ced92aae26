"""Discovery: which addresses of a range answer SNMP, and what stands behind them.

pace.py and planner.py decide what is sent when (pure); engine.py has the one datagram v3 is found by; sweep.py owns
the sockets; inspect.py reads what answered; kinds.py suggests the kind; scan.py joins them; companion.py runs the
scans the core orders; cli.py is `zhishou discover`.
Only credentials handed in are tried, each once at an address. Tests: tests/collectors/discovery.
"""

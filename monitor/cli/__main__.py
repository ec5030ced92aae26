"""`python -m monitor.cli` is the `zhishou` program; the supervisor starts its children this way."""

from monitor.cli import main

main()

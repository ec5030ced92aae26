"""One file a protocol: how to look at a service once, through the gate, and what was seen.

To add a protocol: a module with `build() -> Step` registered under `zhishou.steps`. A step opens no socket of its
own (tests/playbooks/test_architecture.py) and sends nothing that changes, logs in or overloads.
"""

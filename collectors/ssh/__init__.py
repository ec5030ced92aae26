"""Linux hosts over SSH: read-only, host keys pinned, no agent, no shell of our own making, outputs capped.

session.py opens a connection and runs exact commands; hostkeys.py decides whether an offered key is the pinned one;
linux.py turns the text of one combined command into readings (pure); poller.py is the Poller; facts.py the FactReader
of monitor.devices; rootfs.py reads an unpacked root without leaving it.
Tests: tests/collectors/ssh, against Debian's sshd.
"""

"""Judges the poller against recorded devices that are not part of this repository.

`CAPTURES_DATA` names a folder with `snmp/*.snmprec`, `snmp/facts.json` (what each device is known to be) and
`replay_agent.py`. replay.py serves and polls them, judge.py compares, `python -m tests.collectors.profiles.captures`
prints the table and every miss. The rules of the comparison stand in judge.py; there is no list of excuses.
"""

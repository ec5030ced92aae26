"""Classified protection 2.0 (等保2.0): catalogue, checks, verdicts, scoring, evidence.

data/*.csv is the catalogue; checks/ holds one small pure judge a check, sources.py the facts they may ask for.
collect.py reads facts once a device in one session (monitor.devices.FactReader) and masks them before anything is
stored; judge.py and scoring.py are pure, so that stored facts can be judged again offline. register.py keeps
assessments of sites; evidence.py signs them into a bundle, which verifier.py proves without anything of ours.

To add a check: a module in checks/ with its `CHECK`, and its fail, pass and comment fixtures.
To add a standard: a CSV in data/. Tests: tests/rules/compliance.
"""

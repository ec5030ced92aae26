"""One module a check: a pure `judge(facts)` and its metadata `CHECK`. Nothing else needs to be edited to add one.

A new fact goes to sources.py. Every check ships three fixtures in tests/rules/compliance/fixtures/<id>/: `fail`,
`pass` and `comment` (where the setting appears in comments only); tests/rules/compliance/test_checks.py fails
when one is missing.
"""

"""Who may do what: roles, accounts, console sessions, API tokens.

roles.py is the permission table; users.py accounts with Argon2id, lockout and TOTP; sessions.py and tokens.py
keep only hashes. Tests: tests/monitor/test_identity.py.
"""

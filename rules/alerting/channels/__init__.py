"""Ways to tell somebody: one file a channel, each with `build(settings) -> Channel | None` (None: not configured).

A channel delivers one Notification (rules/alerting/interface.py) and returns when the far side has accepted it;
otherwise it raises ChannelError and says whether trying later may help. The ledger retries; a channel never does.
To add one: a file here and an entry point in the group `zhishou.channels`. Tests: tests/rules/alerting.
"""

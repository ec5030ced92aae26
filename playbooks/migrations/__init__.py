"""Alembic revisions of this room's tables (branch `playbooks`)."""

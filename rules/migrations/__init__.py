"""Alembic revisions of this room's tables (branch `rules`)."""

"""Alembic environment of the whole product, and the revisions of this room's tables (branch `monitor`)."""

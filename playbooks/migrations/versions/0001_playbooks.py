"""Tables of the playbooks room.

Revision ID: playbooks0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "playbooks0001"
down_revision = None
branch_labels = ("playbooks",)
depends_on = None


def upgrade() -> None:
    _engagements()
    _approvals()
    _runs()
    _results()
    _findings()
    _attempts()


def downgrade() -> None:
    for table in ("attempts", "findings", "results", "runs", "approvals", "engagements"):
        op.drop_table(f"playbooks_{table}")


def _engagements() -> None:
    op.create_table(
        "playbooks_engagements",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("requester", sa.String(128), nullable=False),
        sa.Column("requester_site", sa.String(64), nullable=False),
        sa.Column("window_from", sa.BigInteger(), nullable=False),
        sa.Column("window_to", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("after_run", sa.Integer(), nullable=False),
    )


def _approvals() -> None:
    op.create_table(
        "playbooks_approvals",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("engagement", sa.String(64), nullable=False, index=True),
        sa.Column("user", sa.String(128), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("engagement", "user"),
    )


def _runs() -> None:
    op.create_table(
        "playbooks_runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("engagement", sa.String(64), nullable=False, index=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("packets", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
    )


def _results() -> None:
    op.create_table(
        "playbooks_results",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run", sa.Integer(), sa.ForeignKey("playbooks_runs.id"), nullable=False, index=True),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("check", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.UniqueConstraint("run", "device", "address", "check"),
    )


def _findings() -> None:
    op.create_table(
        "playbooks_findings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False, unique=True),
        sa.Column("site", sa.String(64), nullable=False, index=True),
        sa.Column("device", sa.String(128), nullable=False, index=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("check", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("remediation", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
    )


def _attempts() -> None:
    op.create_table(
        "playbooks_attempts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("device", "day", "slot"),
    )

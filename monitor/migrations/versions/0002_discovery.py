"""Tables of discovery: scans, ranges, proposals and changes of devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "monitor0002"
down_revision = "monitor0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "discovery_change",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site", sa.String(length=128), nullable=False),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("zh", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_discovery_change_at"), "discovery_change", ["at"], unique=False)
    op.create_index(op.f("ix_discovery_change_device"), "discovery_change", ["device"], unique=False)
    op.create_index(op.f("ix_discovery_change_site"), "discovery_change", ["site"], unique=False)
    op.create_table(
        "discovery_grant",
        sa.Column("site", sa.String(length=128), nullable=False),
        sa.Column("credential", sa.String(length=128), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "credential"),
    )
    op.create_table(
        "discovery_identity",
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("module", sa.String(length=128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device", "module"),
    )
    op.create_table(
        "discovery_proposal",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("primary", sa.String(length=64), nullable=False),
        sa.Column("sightings", sa.Text(), nullable=False),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("scan", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_discovery_proposal_site"), "discovery_proposal", ["site"], unique=False)
    op.create_index(op.f("ix_discovery_proposal_state"), "discovery_proposal", ["state"], unique=False)
    op.create_table(
        "discovery_range",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site", sa.String(length=128), nullable=False),
        sa.Column("ranges", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("weekly", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("scanned_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_discovery_range_site"), "discovery_range", ["site"], unique=False)
    op.create_table(
        "discovery_scan",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site", sa.String(length=128), nullable=False),
        sa.Column("ranges", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("packets", sa.Integer(), nullable=False),
        sa.Column("speed", sa.Double(), nullable=False),
        sa.Column("eta", sa.Integer(), nullable=True),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_discovery_scan_site"), "discovery_scan", ["site"], unique=False)
    op.create_index(op.f("ix_discovery_scan_state"), "discovery_scan", ["state"], unique=False)
    op.create_table(
        "discovery_trait",
        sa.Column("proposal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("trait", sa.String(length=320), nullable=False),
        sa.PrimaryKeyConstraint("proposal", "trait"),
    )
    op.create_index(op.f("ix_discovery_trait_trait"), "discovery_trait", ["trait"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_discovery_trait_trait"), table_name="discovery_trait")
    op.drop_table("discovery_trait")
    op.drop_index(op.f("ix_discovery_scan_state"), table_name="discovery_scan")
    op.drop_index(op.f("ix_discovery_scan_site"), table_name="discovery_scan")
    op.drop_table("discovery_scan")
    op.drop_index(op.f("ix_discovery_range_site"), table_name="discovery_range")
    op.drop_table("discovery_range")
    op.drop_index(op.f("ix_discovery_proposal_state"), table_name="discovery_proposal")
    op.drop_index(op.f("ix_discovery_proposal_site"), table_name="discovery_proposal")
    op.drop_table("discovery_proposal")
    op.drop_table("discovery_identity")
    op.drop_table("discovery_grant")
    op.drop_index(op.f("ix_discovery_change_site"), table_name="discovery_change")
    op.drop_index(op.f("ix_discovery_change_device"), table_name="discovery_change")
    op.drop_index(op.f("ix_discovery_change_at"), table_name="discovery_change")
    op.drop_table("discovery_change")

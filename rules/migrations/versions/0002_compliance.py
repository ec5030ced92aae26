"""Assessments, judgements, facts and the signing key of the compliance room."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "rules0002"
down_revision = "rules0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "compliance_assessments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("site", sa.String(128), nullable=False, index=True),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("totals", sa.Text, nullable=False),
        sa.Column("classes", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("rate", sa.Float),
        sa.Column("grade", sa.String(16), nullable=False),
        sa.Column("high_risks", sa.Integer, nullable=False),
        sa.Column("objects", sa.Integer, nullable=False),
        sa.Column("collector", sa.String(64), nullable=False),
    )
    op.create_table(
        "compliance_judgements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("assessment", sa.Integer, sa.ForeignKey("compliance_assessments.id"), nullable=False),
        sa.Column("clause", sa.String(32), nullable=False),
        sa.Column("item", sa.String(8), nullable=False),
        sa.Column("check", sa.String(32), nullable=False),
        sa.Column("object", sa.String(128), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("reason_en", sa.Text, nullable=False),
        sa.Column("lines", sa.Text, nullable=False),
        sa.Column("high_risk", sa.String(16), nullable=False),
    )
    op.create_index(
        "ix_compliance_judgements_requirement", "compliance_judgements", ["assessment", "clause", "item"]
    )
    op.create_table(
        "compliance_facts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "assessment", sa.Integer, sa.ForeignKey("compliance_assessments.id"), nullable=False, index=True
        ),
        sa.Column("object", sa.String(128), nullable=False),
        sa.Column("fact", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("blob", sa.String(64), nullable=False),
        sa.Column("raw_sha256", sa.String(64), nullable=False),
        sa.Column("raw_sm3", sa.String(64), nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("missing", sa.Boolean, nullable=False),
        sa.Column("host_key", sa.String(128), nullable=False),
        sa.Column("folder", sa.Boolean, nullable=False),
        sa.Column("command", sa.Boolean, nullable=False),
    )
    op.create_table(
        "compliance_keys",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("public", sa.String(64), nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("compliance_keys")
    op.drop_table("compliance_facts")
    op.drop_index("ix_compliance_judgements_requirement", table_name="compliance_judgements")
    op.drop_table("compliance_judgements")
    op.drop_table("compliance_assessments")

"""Alerting: alert, alert_event, silence, notification, alerting_sequence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "rules0001"
down_revision = None
branch_labels = ("rules",)
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _alert() -> None:
    op.create_table(
        "alert",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("number", sa.String(32), unique=True),
        sa.Column("open_key", sa.String(64), unique=True),
        sa.Column("rule_group", sa.String(400), nullable=False),
        sa.Column("rule_key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("severity_rank", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("annotations", sa.Text, nullable=False),
        sa.Column("site", sa.String(100), nullable=False),
        sa.Column("device", sa.String(100), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("expression", sa.Text, nullable=False),
        sa.Column("active_at", sa.BigInteger, nullable=False),
        sa.Column("fired_at", sa.BigInteger),
        sa.Column("resolved_at", sa.BigInteger),
        sa.Column("keep_since", sa.BigInteger),
        sa.Column("acked_by", sa.String(100), nullable=False),
        sa.Column("acked_at", sa.BigInteger),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("escalated_to", sa.String(200), nullable=False),
        sa.Column("silenced_until", sa.BigInteger),
        sa.Column("root_id", _Id, sa.ForeignKey("alert.id", ondelete="SET NULL")),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_alert_state_severity", "alert", ["state", "severity_rank"])
    op.create_index("ix_alert_site_state", "alert", ["site", "state"])
    op.create_index("ix_alert_device", "alert", ["device"])
    op.create_index("ix_alert_group", "alert", ["rule_group", "phase"])
    op.create_index("ix_alert_root_id", "alert", ["root_id"])


def _notification() -> None:
    op.create_table(
        "notification",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("alert_id", _Id, sa.ForeignKey("alert.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("channel", sa.String(50), nullable=False),
        sa.Column("receiver", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
    )
    op.create_index("ix_notification_due", "notification", ["state", "next_at"])
    op.create_index("ix_notification_alert_id", "notification", ["alert_id"])


def upgrade() -> None:
    _alert()
    op.create_table(
        "alert_event",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("alert_id", _Id, sa.ForeignKey("alert.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_event_alert", "alert_event", ["alert_id", "at"])
    op.create_index("ix_alert_event_kind", "alert_event", ["kind", "at"])
    op.create_table(
        "silence",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("matchers", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_silence_ends_at", "silence", ["ends_at"])
    _notification()
    sequence = op.create_table(
        "alerting_sequence",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(sequence, [{"name": "version", "value": 0}])


def downgrade() -> None:
    for table in ("alerting_sequence", "notification", "silence", "alert_event", "alert"):
        op.drop_table(table)

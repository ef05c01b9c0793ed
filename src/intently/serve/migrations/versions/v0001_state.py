"""Events, items, customers, keys, audit, dead letters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "events",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(256), nullable=False, unique=True),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("arrived_at", sa.BigInteger),
        sa.Column("known", sa.BigInteger, nullable=False),
        sa.Column("item_id", sa.String(256)),
        sa.Column("quantity", sa.Float(53)),
        sa.Column("amount", sa.Float(53)),
        sa.Column("session_id", sa.String(256)),
        sa.Column("about", sa.String(256)),
        sa.Column("text", sa.Text),
        sa.Column("extra", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_user", "events", ["user_id", "known", "seq"])
    op.create_table(
        "items",
        sa.Column("position", number, primary_key=True, autoincrement=True),
        sa.Column("item_id", sa.String(256), nullable=False, unique=True),
        sa.Column("body", sa.Text),
    )
    op.create_table(
        "customers", sa.Column("user_id", sa.String(256), primary_key=True), sa.Column("body", sa.Text, nullable=False)
    )
    op.create_table(
        "names",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(256), nullable=False),
    )
    op.create_table(
        "facts", sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "audit",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.String(32)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64)),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(64)),
    )
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_table(
        "dead_letters",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("dead_letters", "audit", "keys", "facts", "names", "customers", "items", "events"):
        op.drop_table(name)

"""Teams: users, rights, tokens, uploads, review, webhooks, other stores; why versions are yanked or deprecated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
COLUMNS: Sequence[tuple[str, str, sa.types.TypeEngine[Any], str | None]] = (  # the last is what old rows say
    ("namespaces", "visibility", sa.String(8), "private"),
    ("namespaces", "max_bytes", sa.BigInteger(), None),
    ("namespaces", "max_versions", sa.BigInteger(), None),
    ("versions", "yank_reason", sa.Text(), None),
    ("versions", "deprecation", sa.Text(), None),
    ("events", "token", sa.String(32), None),
)


def ordered(length: int) -> sa.String:
    """Return text that compares byte by byte."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


NAME = ordered(128)
OPEN = sa.text("state = 'open'")
DIGEST = ordered(71)


def column(
    name: str,
    kind: sa.types.TypeEngine[Any],
    *parts: sa.ForeignKey,
    null: bool = False,
    key: bool = False,
) -> sa.Column[Any]:
    """Return a column."""
    return sa.Column(name, kind, *parts, nullable=null, primary_key=key)


def of(table: str) -> sa.ForeignKey:
    """Return a foreign key to a table's id."""
    return sa.ForeignKey(f"{table}.id")


def upgrade() -> None:
    """Add the tables and columns; what is there stays as it is."""
    _lock()
    for table, name, kind, old in COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=old is None, server_default=old))
    _people()
    _sharing()


def downgrade() -> None:
    """Take them away: users, rights and what was said about yanked and deprecated versions are lost."""
    _lock()
    for table in ("cursors", "sightings", "webhooks", "proposals", "protections", "uploads"):
        op.drop_table(table)
    for table in ("tokens", "memberships", "identities", "users"):
        op.drop_table(table)
    for table, name, *_ in reversed(COLUMNS):
        op.drop_column(table, name)


def _lock() -> None:
    """Take the tables at once, in the order in which changes take them: neither waits for the other in a circle."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("LOCK TABLE artifacts, versions, blobs, namespaces, events IN ACCESS EXCLUSIVE MODE")


def _people() -> None:
    op.create_table(
        "users",
        column("id", ROW_ID, key=True),
        column("name", NAME),
        column("admin", sa.Boolean()),
        column("created_at", MOMENT),
        column("disabled_at", MOMENT, null=True),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "identities",
        column("issuer", sa.String(255), key=True),
        column("subject", sa.String(255), key=True),
        column("user_id", ROW_ID, of("users")),
        column("email", sa.String(255)),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
    op.create_table(
        "memberships",
        column("namespace_id", ROW_ID, of("namespaces"), key=True),
        column("user_id", ROW_ID, of("users"), key=True),
        column("role", sa.String(16)),
        sa.CheckConstraint("role IN ('reader', 'writer', 'maintainer', 'owner')", name=op.f("ck_memberships_role")),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_table(
        "tokens",
        column("id", sa.String(32), key=True),
        column("user_id", ROW_ID, of("users")),
        column("name", sa.String(255)),
        column("hash", sa.String(64)),
        column("scopes", sa.String(255)),
        column("namespace_id", ROW_ID, of("namespaces"), null=True),
        column("created_at", MOMENT),
        column("expires_at", MOMENT, null=True),
        column("revoked_at", MOMENT, null=True),
        column("last_used_at", MOMENT, null=True),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_index("ix_tokens_namespace_id", "tokens", ["namespace_id"])


def _sharing() -> None:
    op.create_table(
        "uploads",
        column("id", sa.String(32), key=True),
        column("namespace_id", ROW_ID, of("namespaces")),
        column("user_id", ROW_ID, of("users")),
        column("digest", DIGEST),
        column("size", sa.BigInteger()),
        column("received", sa.BigInteger()),
        column("finished", sa.Boolean()),
        column("expires_at", MOMENT),
    )
    op.create_index("ix_uploads_namespace_id_digest", "uploads", ["namespace_id", "digest"])
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    op.create_table(
        "protections",
        column("namespace_id", ROW_ID, of("namespaces"), key=True),
        column("alias", NAME, key=True),
        column("approvals", sa.Integer()),
    )
    op.create_table(
        "proposals",
        column("id", ROW_ID, key=True),
        column("namespace_id", ROW_ID, of("namespaces")),
        column("artifact_id", ROW_ID, of("artifacts")),
        column("alias", NAME),
        column("number", sa.Integer(), null=True),
        column("state", sa.String(16)),
        column("reason", sa.Text()),
        column("proposed_by", ROW_ID, of("users")),
        column("proposed_at", MOMENT),
        column("decided_by", ROW_ID, of("users"), null=True),
        column("decided_at", MOMENT, null=True),
        sa.CheckConstraint("state IN ('open', 'approved', 'rejected', 'withdrawn')", name=op.f("ck_proposals_state")),
    )
    op.create_index("ix_proposals_namespace_id_id", "proposals", ["namespace_id", "id"])
    op.create_index(
        "uq_proposals_open",
        "proposals",
        ["artifact_id", "alias"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_table(
        "webhooks",
        column("id", ROW_ID, key=True),
        column("namespace_id", ROW_ID, of("namespaces")),
        column("url", sa.String(1024)),
        column("secret", sa.String(64)),
        column("actions", sa.String(512)),
        column("created_at", MOMENT),
        column("disabled_at", MOMENT, null=True),
        column("sent_seq", sa.BigInteger()),
        column("attempts", sa.Integer()),
        column("next_at", MOMENT),
        column("leased_until", MOMENT, null=True),
        column("last_error", sa.Text()),
    )
    op.create_index("ix_webhooks_namespace_id", "webhooks", ["namespace_id"])
    op.create_index("ix_webhooks_next_at", "webhooks", ["next_at"])
    op.create_table(
        "sightings",
        column("remote", NAME, key=True),
        column("reference", ordered(512), key=True),
        column("digest", DIGEST),
        column("seen_at", MOMENT),
    )
    op.create_table(
        "cursors",
        column("remote", sa.String(512), key=True),
        column("namespace", NAME, key=True),
        column("seq", sa.BigInteger()),
        column("hash", DIGEST),
    )

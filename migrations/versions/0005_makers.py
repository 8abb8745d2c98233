"""Makers: which token a token was made with, and on whose rights a webhook rests."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

EVENTS = sa.table("events", *map(sa.column, ("namespace_id", "seq", "action", "actor")), sa.column("after", sa.JSON()))
USERS = sa.table("users", sa.column("id"), sa.column("name"))
WEBHOOKS = sa.table("webhooks", *map(sa.column, ("id", "namespace_id", "made_by")))


def upgrade() -> None:
    """Add the columns; who made a webhook is what the event of it says, and of tokens nobody noted it."""
    _lock()
    op.add_column("tokens", sa.Column("parent", sa.String(32), nullable=True))
    op.create_index("ix_tokens_parent", "tokens", ["parent"])
    op.add_column("webhooks", sa.Column("made_by", sa.BigInteger(), nullable=True))
    connection = op.get_bind()
    for webhook in connection.execute(sa.select(WEBHOOKS)).all():
        values = {"made_by": _maker(connection, webhook)}
        connection.execute(sa.update(WEBHOOKS).where(WEBHOOKS.c.id == webhook.id).values(values))


def downgrade() -> None:
    """Take them away: tokens and webhooks go on without."""
    _lock()
    op.drop_column("webhooks", "made_by")
    op.drop_index("ix_tokens_parent", "tokens")
    op.drop_column("tokens", "parent")


def _lock() -> None:
    """Take the tables at once, in the order in which changes take them: neither waits for the other in a circle."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("LOCK TABLE users, tokens, webhooks, namespaces, events IN ACCESS EXCLUSIVE MODE")


def _maker(connection: sa.Connection, webhook: Any) -> int | None:  # noqa: ANN401 - a Row of WEBHOOKS
    """Return the user whom the event of a webhook names; None where it names none."""
    added = (
        sa.select(USERS.c.id, EVENTS.c.after)
        .join_from(EVENTS, USERS, USERS.c.name == EVENTS.c.actor)
        .where(EVENTS.c.namespace_id == webhook.namespace_id, EVENTS.c.action == "webhook.add")
        .order_by(EVENTS.c.seq.desc())
    )
    rows = connection.execute(added)
    return next((row.id for row in rows if (row.after or {}).get("webhook") == webhook.id), None)

"""System: the namespace whose events tell of users and tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.accounts.access import SYSTEM
from vectorstore.canonical import Json
from vectorstore.store import events
from vectorstore.store.save import insert_into
from vectorstore.store.schema import NamespaceRow


def record(
    session: Session, action: str, subject: str, *, before: Json | None = None, after: Json | None = None
) -> None:
    """Add an event about users or tokens; the last thing a transaction does."""
    values = {
        "name": SYSTEM,
        "created_at": datetime.now(UTC),
        "event_seq": 0,
        "event_hash": "",
        "visibility": "private",
    }
    session.execute(insert_into(session, NamespaceRow).values(values).on_conflict_do_nothing())
    mine = session.scalars(select(NamespaceRow.id).where(NamespaceRow.name == SYSTEM)).one()
    events.record(session, mine, action, subject, before=before, after=after)

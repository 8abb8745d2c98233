"""Quarantine: files that are damaged or belong to nobody, put where nobody reads them, safely beside savers."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.errors import IntegrityError
from vectorstore.store.save import insert_into
from vectorstore.store.schema import BlobRow
from vectorstore.store.store import Store


def put_aside(store: Store, digest: str) -> str | None:
    """Put a file aside and return where it is; None if it is gone by now, is whole again, or is being saved.

    Its row is locked meanwhile, and made where there is none: who saves the same bytes waits, then brings them anew.
    A save that has its lease already, and could bring them before they are put aside, loses the lease.

    Raises:
        UnavailableError: when database or blobs cannot be used.
    """
    with store.database.write() as session:
        nobodys = _make_row(session, digest)
        row = session.scalar(select(BlobRow).where(BlobRow.digest == digest).with_for_update())
        if row is None or not (nobodys or _is_damaged(store, row)) or not store.blobs.exists(digest):
            session.rollback()
            return None
        away = store.blobs.quarantine(digest)
        if nobodys:
            session.delete(row)
        else:
            row.leased_until = datetime.now(UTC)
        return away


def _make_row(session: Session, digest: str) -> bool:
    """Make the row of a file that has none; False where there is one."""
    row = {"digest": digest, "size": 0, "state": "pending", "leased_until": datetime.now(UTC)}
    made = insert_into(session, BlobRow).values(row).on_conflict_do_nothing().returning(BlobRow.digest)
    return session.scalar(made) is not None


def _is_damaged(store: Store, row: BlobRow) -> bool:
    if row.state != "live":
        return False
    try:
        store.blobs.verify(row.digest, row.size, full=True)
    except IntegrityError:
        return True
    return False

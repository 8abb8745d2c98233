"""Gc: take away bytes that no version needs.

It works from the rows: a blob is `pending` when its save was never finished, or when the last version that needed it
was deleted. After its lease and a grace time it may go. Each is looked at again under its row's lock, and its file goes
before the lock does; so a save of the same bytes either comes first, and renews the lease, or finds neither row nor
file and makes both anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.store.deletion import needed
from vectorstore.store.schema import BlobRow
from vectorstore.store.store import Store
from vectorstore.store.team_schema import UploadRow

GRACE = timedelta(days=1)
MAX_GRACE = timedelta(days=36500)
_HOUR = timedelta(hours=1)
BATCH = 20  # an SQLite library has one writer at a time, and each file that goes costs a sync


@dataclass(frozen=True)
class Collected:
    """What was, or would be, taken away.

    Attributes:
        blobs: digests.
        size: their bytes together.
        leftovers: files of saves that never came to an end.
        applied: whether they are gone.
    """

    blobs: tuple[str, ...]
    size: int
    leftovers: tuple[str, ...]
    applied: bool

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "blobs": list(self.blobs), "leftovers": list(self.leftovers)}


def collect(store: Store, *, apply: bool = False, grace: timedelta = GRACE) -> Collected:
    """Take away what no version has needed for `grace`; safe beside writers and readers.

    Args:
        store: the library.
        apply: do it; otherwise only say what would go.
        grace: how long bytes are kept after their lease, for those who are reading them or copying the library.

    Raises:
        InvalidInputError: for a grace below zero, or above MAX_GRACE.
        UnavailableError: when database or blobs cannot be used; what is gone by then is gone.
    """
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise InvalidInputError(f"a grace of {grace / _HOUR:g} hours", f"give 0 or more, up to {MAX_GRACE / _HOUR:g}")
    before = datetime.now(UTC) - grace
    gone: list[tuple[str, int]] = []
    for digests in _batches(store, before):
        gone += _take(store, digests, before) if apply else _sizes(store, digests)
    if apply:
        with store.database.write() as session:
            session.execute(delete(UploadRow).where(UploadRow.expires_at < before))
    # A save may write for as long as its lease lasts before it notes a row.
    idle = min(before, datetime.now(UTC) - GRACE)
    leftovers = store.blobs.sweep(idle) if apply else store.blobs.leftovers(idle)
    digests_gone = tuple(digest for digest, _ in gone)
    return Collected(digests_gone, sum(size for _, size in gone), tuple(leftovers), applied=apply)


def _batches(store: Store, before: datetime) -> Iterator[list[str]]:
    """Yield the digests of what may go, some at a time, in order."""
    last = ""
    while True:
        with store.database.read() as session:
            found = session.scalars(_expired(before).where(BlobRow.digest > last).limit(BATCH)).all()
        if not found:
            return
        yield list(found)
        last = found[-1]


def _expired(before: datetime) -> Select[str]:
    waiting = select(BlobRow.digest).where(BlobRow.state != "live", BlobRow.leased_until < before)
    return waiting.order_by(BlobRow.digest)


def _sizes(store: Store, digests: list[str]) -> list[tuple[str, int]]:
    with store.database.read() as session:
        rows = session.execute(select(BlobRow.digest, BlobRow.size).where(BlobRow.digest.in_(digests)))
        return [(digest, size) for digest, size in rows]


def _take(store: Store, digests: list[str], before: datetime) -> list[tuple[str, int]]:
    with store.database.write() as session:
        rows = _still_expired(session, digests, before)
        for digest, _ in rows:
            store.blobs.delete(digest)
        session.execute(delete(BlobRow).where(BlobRow.digest.in_([digest for digest, _ in rows])))
        return rows


def _still_expired(session: Session, digests: list[str], before: datetime) -> list[tuple[str, int]]:
    """Lock those that nobody works on, and that are still not needed; whoever works on one may need it."""
    mine = _expired(before).where(BlobRow.digest.in_(digests)).with_for_update(skip_locked=True)
    locked = session.scalars(mine).all()
    # Asked anew, after the locks: what was needed meanwhile shows only in a later statement.
    free = select(BlobRow.digest, BlobRow.size).where(BlobRow.digest.in_(locked), BlobRow.state != "live", ~needed())
    return [(digest, size) for digest, size in session.execute(free.order_by(BlobRow.digest))]

"""Events: what changed, when and by whom. Audit trail and feed of changes in one.

Each namespace has its own sequence without gaps. Each event's hash covers the event before it, so that a change of
history shows.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.orm import Session

from vectorstore.canonical import Json, canonical_bytes, digest
from vectorstore.errors import IntegrityError
from vectorstore.store.schema import EventRow, NamespaceRow, table_of

BATCH = 1000
_NAMESPACES = table_of(NamespaceRow)
_MINE = update(_NAMESPACES).where(_NAMESPACES.c.id == bindparam("namespace"))
_COUNT = _MINE.values(event_seq=_NAMESPACES.c.event_seq + 1).returning(
    _NAMESPACES.c.event_seq, _NAMESPACES.c.event_hash
)
_ADD = insert(table_of(EventRow))
_CLOSE = _MINE.values(event_hash=bindparam("hash"))
_CHAINED = ("seq", "created_at", "actor", "action", "subject", "before", "after", "token")
_acting: ContextVar[tuple[str, str | None] | None] = ContextVar("acting", default=None)


@contextmanager
def acting(name: str, token: str | None = None) -> Iterator[None]:
    """Let what is changed inside be done by `name`, with the token of this public part."""
    before = _acting.set((name, token))
    try:
        yield
    finally:
        _acting.reset(before)


def act(name: str, token: str | None = None) -> None:
    """Let what is changed in this context from now on be done by `name`."""
    _acting.set((name, token))


def actor() -> str:
    """Return who is at work: as `acting` says, else `$LOGNAME`, `$USER`, or the system's name for the user."""
    if (said := _acting.get()) is not None:
        return said[0]
    try:
        return getpass.getuser().encode("utf-8", "replace").decode()[:255]
    except (OSError, KeyError):
        return "unknown"


def record(  # noqa: PLR0913 - an event has this many parts
    session: Connection | Session,
    namespace_id: int,
    action: str,
    subject: str,
    *,
    before: Json | None = None,
    after: Json | None = None,
) -> None:
    """Add an event; the last thing a transaction does, since the namespace's row stays locked until it ends."""
    if isinstance(session, Session):
        session.flush()
    seq, previous = session.execute(_COUNT, {"namespace": namespace_id}).one()
    values = {
        "namespace_id": namespace_id,
        "seq": seq,
        "created_at": datetime.now(UTC),
        "actor": actor(),
        "token": _acting_token(),
        "action": action,
        "subject": subject,
        "before": before,
        "after": after,
    }
    chain = _chained(values, previous)
    session.execute(_ADD, values | {"hash": chain})
    session.execute(_CLOSE, {"namespace": namespace_id, "hash": chain})


def _acting_token() -> str | None:
    said = _acting.get()
    return None if said is None else said[1]


def chained(event: EventRow, previous: str) -> str:
    """Return the digest of an event and, through `previous`, of all before it."""
    return _chained({name: getattr(event, name) for name in _CHAINED}, previous)


def _chained(values: Mapping[str, Any], previous: str) -> str:
    said = {name: values[name] for name in _CHAINED if name != "token" or values[name] is not None}
    created_at = values["created_at"].isoformat(timespec="microseconds")
    return digest(canonical_bytes(said | {"previous": previous, "created_at": created_at}))


def verify(session: Session, namespace: str) -> int:
    """Follow a namespace's chain to its end, and return how many events it has.

    Raises:
        IntegrityError: naming the first event that is missing or was altered.
    """
    row = session.execute(select(NamespaceRow).where(NamespaceRow.name == namespace)).scalar_one()
    events = select(EventRow).where(EventRow.namespace_id == row.id).order_by(EventRow.seq)
    with session.scalars(events, execution_options={"yield_per": BATCH}) as some:
        return _follow(row, some)


def _follow(row: NamespaceRow, events: Iterable[EventRow]) -> int:
    seq, previous = 0, ""
    for seq, event in enumerate(events, 1):
        if event.seq != seq or event.hash != chained(event, previous):
            raise IntegrityError(f"event {seq} of {row.name} is missing or was altered", "restore it from a backup")
        previous = event.hash
    if (seq, previous) != (row.event_seq, row.event_hash):
        raise IntegrityError(f"events of {row.name} after {seq} are missing", "restore them from a backup")
    return seq

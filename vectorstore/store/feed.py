"""Feed: the events of a namespace, for people who ask what happened and programs that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.reference import DEFAULT_NAMESPACE, check_name
from vectorstore.store.names import namespace_id
from vectorstore.store.schema import EventRow
from vectorstore.store.store import Store

MAX_LIMIT = 1000


@dataclass(frozen=True)
class Event:
    """One change.

    Attributes:
        seq: its number in the namespace; there are no gaps.
        created_at, actor: when, and by whom.
        token: the public part of the token it was done with, over the network; else None.
        action: `version.save`, `version.yank`, `version.delete`, `alias.set` and so on.
        subject: the version it is about: `default/love@2`.
        before, after: what was changed.
        hash: covers it and, through the event before it, all of history.
    """

    seq: int
    created_at: datetime
    actor: str
    token: str | None
    action: str
    subject: str
    before: Json | None
    after: Json | None
    hash: str

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


def feed(
    store: Store, namespace: str = DEFAULT_NAMESPACE, *, after: int | None = None, limit: int = 50
) -> tuple[Event, ...]:
    """Return events of a namespace, oldest first: those after the one of number `after`, or the last ones.

    Raises:
        NotFoundError: for an unknown namespace.
        InvalidInputError: for a limit or number that cannot be.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"{limit} events", f"ask for 1 to {MAX_LIMIT}")
    if after is not None and not 0 <= after < 1 << 63:
        raise InvalidInputError(f"events after {after}", "give the number of an event, or 0")
    with store.database.read() as session:
        mine = select(EventRow).where(
            EventRow.namespace_id == namespace_id(session, check_name(namespace, "namespace"))
        )
        if after is None:
            rows = list(reversed(session.scalars(mine.order_by(EventRow.seq.desc()).limit(limit)).all()))
        else:
            rows = list(session.scalars(mine.where(EventRow.seq > after).order_by(EventRow.seq).limit(limit)))
        return tuple(Event(**{name: getattr(row, name) for name in Event.__dataclass_fields__}) for row in rows)

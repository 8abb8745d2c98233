"""News: the vectors of a space that came into the library since it was last looked at, by the feed of events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from vectorstore.manifest import VECTOR_BLOB
from vectorstore.store.nearest.space import Space
from vectorstore.store.schema import EventRow, NamespaceRow, VersionBlobRow, VersionRow, VersionSiteRow

T = TypeVar("T")
Seen = Mapping[str, tuple[int, str]]
"""The last event of each namespace that was looked at: its number, and its hash, which covers all before it."""
MAX_EVENTS = 1000
CHUNK = 500


@dataclass(frozen=True)
class News:
    """What there is to look at.

    Attributes:
        seen: up to which events this is all.
        blobs: sizes by digest; some may be known already.
    """

    seen: Seen
    blobs: Mapping[str, int]


def news(session: Session, space: Space, seen: Seen, again: Collection[str] = ()) -> News:
    """Return the blobs of vectors in `space` that were saved after `seen`.

    Where the events after `seen` do not tell, because the library is another one since, restored or rebuilt, or they
    are too many, that is every vector in `space`.

    Args:
        session: one moment of the library.
        space: where the directions are.
        seen: what was returned the last time.
        again: digests to return as well where a version still has them.
    """
    namespaces = session.execute(
        select(NamespaceRow.id, NamespaceRow.name, NamespaceRow.event_seq, NamespaceRow.event_hash)
    ).all()
    now = {row.name: (row.event_seq, row.event_hash) for row in namespaces}
    if not all(_continues(session, row, seen) for row in namespaces):
        return News(now, _sizes(session, _blobs(space)))
    saved = [digest for row in namespaces for digest in _saved(session, row, seen[row.name][0])]
    if len(saved) > MAX_EVENTS:
        return News(now, _sizes(session, _blobs(space)))
    found: dict[str, int] = {}
    for chunk in chunks(saved):
        found |= _sizes(session, _blobs(space).where(VersionRow.digest.in_(chunk)))
    for chunk in chunks(tuple(again)):
        found |= _sizes(session, _blobs(space).where(VersionBlobRow.digest.in_(chunk)))
    return News(now, found)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the values in parts that a query can take."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _continues(session: Session, namespace: Row[int, str, int, str], seen: Seen) -> bool:
    """Say whether the namespace's events are those that were seen, and maybe more after them.

    Without an event there is nothing to tell by: a rebuilt library may have versions and no events.
    """
    seq, last = seen.get(namespace.name, (0, ""))
    if not seq:
        return False
    if (seq, last) == (namespace.event_seq, namespace.event_hash):
        return True
    found = session.scalar(_events(namespace.id, EventRow.hash).where(EventRow.seq == seq))
    return bool(found == last)


def _saved(session: Session, namespace: Row[int, str, int, str], seq: int) -> list[str]:
    """Return the digests of versions that were saved after event `seq`; more than MAX_EVENTS mean: many."""
    if seq == namespace.event_seq:
        return []
    saves = _events(namespace.id, EventRow.after).where(EventRow.seq > seq, EventRow.action == "version.save")
    return [str((after or {}).get("digest")) for after in session.scalars(saves.limit(MAX_EVENTS + 1))]


def _events(namespace_id: int, column: Any) -> Select[Any]:  # noqa: ANN401 - SQLAlchemy's, of any type
    return select(column).where(EventRow.namespace_id == namespace_id)


def _blobs(space: Space) -> Select[str, int]:
    """Return the query for the blobs of all versions in `space`."""
    here = VersionSiteRow.site == space.place.site, VersionSiteRow.layer == space.place.layer
    return (
        select(VersionBlobRow.digest, VersionBlobRow.size)
        .join(VersionRow, VersionRow.id == VersionBlobRow.version_id)
        .join(VersionSiteRow, VersionSiteRow.version_id == VersionRow.id)
        .where(*here, VersionSiteRow.width == space.width)
        .where(VersionRow.fingerprint == space.fingerprint, VersionBlobRow.media_type == VECTOR_BLOB)
    )


def _sizes(session: Session, blobs: Select[str, int]) -> dict[str, int]:
    return {row.digest: row.size for row in session.execute(blobs)}

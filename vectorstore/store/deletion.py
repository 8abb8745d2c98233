"""Deletion: a version goes for good, and leaves a tombstone, so that its number never means anything else.

Its blobs are only marked as no longer needed: collecting them is the work of `gc`, some time later.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, CompoundSelect, delete, func, select, update
from sqlalchemy.orm import Session

from vectorstore.errors import ConflictError
from vectorstore.reference import short_name
from vectorstore.store import events
from vectorstore.store.changes import Change
from vectorstore.store.lists import search
from vectorstore.store.newest import appoint
from vectorstore.store.schema import (
    AliasRow,
    AuthorRow,
    BlobRow,
    EvaluationRow,
    LabelRow,
    LineageRow,
    NamespaceRow,
    PresetRow,
    RecipeTermRow,
    SummaryRow,
    TombstoneRow,
    VersionBlobRow,
    VersionRow,
    VersionSiteRow,
)
from vectorstore.store.version import Version

SHOWN = 10
_PARTS = (
    AliasRow,
    AuthorRow,
    EvaluationRow,
    LabelRow,
    LineageRow,
    PresetRow,
    RecipeTermRow,
    SummaryRow,
    VersionBlobRow,
    VersionSiteRow,
)


def remove(
    session: Session, row: VersionRow, version: Version, reason: str, *, seen: ColumnElement[bool] | None = None
) -> Change:
    """Delete a version whose name is locked.

    Args:
        session: in a transaction that holds the name's lock.
        row: the version's.
        version: as it is.
        reason: kept with its tombstone.
        seen: the condition on a NamespaceRow that whoever asks may know of it; None where they may know of all.

    Raises:
        ConflictError: when recipes or other versions need it; lists those that may be known.
    """
    _require_unneeded(session, row, version, seen)
    digests = [row.digest, *(blob.digest for blob in version.blobs)]
    session.scalars(select(BlobRow).where(BlobRow.digest.in_(digests)).order_by(BlobRow.digest).with_for_update()).all()
    search.forget(session, row.id)
    for part in _PARTS:
        session.execute(delete(part).where(part.version_id == row.id))
    session.execute(delete(VersionRow).where(VersionRow.id == row.id))
    session.add(
        TombstoneRow(
            artifact_id=row.artifact_id,
            number=row.number,
            digest=row.digest,
            deleted_at=datetime.now(UTC),
            reason=reason,
            actor=events.actor(),
        )
    )
    _release(session, digests)
    session.expunge(row)
    appoint(session, row.artifact_id)
    before = {"digest": version.digest, "aliases": list(version.aliases), "labels": dict(version.labels)}
    return Change("version.delete", before, {"reason": reason} if reason else None)


def needed() -> ColumnElement[bool]:
    """Return the condition that a version needs the blob of the query's BlobRow."""
    part = select(VersionBlobRow.version_id).where(VersionBlobRow.digest == BlobRow.digest)
    manifest = select(VersionRow.id).where(VersionRow.digest == BlobRow.digest)
    return part.exists() | manifest.exists()


def _require_unneeded(session: Session, row: VersionRow, version: Version, seen: ColumnElement[bool] | None) -> None:
    pinned = select(RecipeTermRow.version_id).where(RecipeTermRow.pinned_id == row.id)
    parent = select(LineageRow.version_id).where(LineageRow.parent_id == row.id)
    users = _references(session, pinned.union(parent), seen)
    if users:
        raise ConflictError(
            f"{version.reference} is needed by {', '.join(users)}",
            "delete these first, or yank it instead: `steer yank` keeps it for them",
        )


def _references(session: Session, ids: CompoundSelect[int], seen: ColumnElement[bool] | None) -> list[str]:
    """Return the references of versions in namespaces that may be known, and how many others there are."""
    every = select(VersionRow.full_name, VersionRow.number).join(
        NamespaceRow, NamespaceRow.id == VersionRow.namespace_id
    )
    every = every.where(VersionRow.id.in_(ids))
    known = every if seen is None else every.where(seen)
    found = session.execute(known.order_by(VersionRow.id).limit(SHOWN + 1)).all()
    listed = [f"{short_name(name)}@{number}" for name, number in found[:SHOWN]]
    if len(found) > SHOWN:
        listed.append("and others")
    count = select(func.count()).select_from(every.where(~seen).subquery()) if seen is not None else None
    hidden = 0 if count is None else session.scalar(count)
    if hidden:
        listed.append(f"{hidden} {'more ' if listed else ''}that you cannot see")
    return listed


def _release(session: Session, digests: list[str]) -> None:
    """Mark the blobs that no version needs any more; a lease that a save holds stays."""
    now = datetime.now(UTC)
    free = update(BlobRow).where(BlobRow.digest.in_(digests), ~needed())
    options = {"synchronize_session": False}
    session.execute(free.where(BlobRow.leased_until < now).values(leased_until=now), execution_options=options)
    session.execute(free.values(state="pending"), execution_options=options)

"""Catalogue: one version, a name's history, and what summaries and text search know of them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from vectorstore.store.assembly import assemble
from vectorstore.store.lists import search
from vectorstore.store.lists.listing import check_limit, read_key
from vectorstore.store.lookup import artifact
from vectorstore.store.reading import read_versions
from vectorstore.store.schema import SummaryRow, VersionRow
from vectorstore.store.summary import to_text
from vectorstore.store.version import Page, Version


def load(session: Connection | Session, version_id: int) -> Version:
    """Return one version by its row."""
    return read_versions(session, [version_id])[0]


def summarise(session: Session, version_ids: Iterable[int]) -> list[Version]:
    """Write anew what lists show of these versions, after any of their rows has changed; return them."""
    session.flush()
    ids = list(version_ids)
    versions = assemble(session, ids)
    for version_id, version in zip(ids, versions, strict=True):
        session.merge(SummaryRow(version_id=version_id, summary=to_text(version)))
    session.flush()
    return versions


def make_findable(session: Connection | Session, version_id: int, version: Version, *, known: bool = True) -> None:
    """Let text search find a version by what is now said about it; one that is new is not `known` to it yet."""
    model = (version.model.reference, version.model.architecture) if version.model else ()
    labels = (text for label in version.labels.items() for text in label)
    texts = (version.name, version.description, *labels, *version.authors, version.method or "", *model)
    search.index(session, version_id, texts, known=known)


def history(session: Session, namespace: str, name: str, limit: int, after: str | None) -> Page:
    """Return a page of all versions of a name, newest first, also those that are yanked.

    Raises:
        InvalidInputError: for a limit or cursor that cannot be.
        NotFoundError: for an unknown name.
    """
    check_limit(limit)
    mine = select(VersionRow.id, VersionRow.number).where(
        VersionRow.artifact_id == artifact(session, namespace, name).id
    )
    if after is not None:
        mine = mine.where(VersionRow.number < read_key("number", after))
    found = session.execute(mine.order_by(VersionRow.number.desc()).limit(limit + 1)).all()
    cursor = f"number:{found[limit - 1].number}" if len(found) > limit else None
    return Page(tuple(read_versions(session, [row.id for row in found[:limit]])), cursor)

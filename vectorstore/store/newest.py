"""Newest: which version a bare name means. Lists and text search know only that one."""

from __future__ import annotations

from sqlalchemy import Connection, select, update
from sqlalchemy.orm import Session

from vectorstore.store import catalogue
from vectorstore.store.assembly import assemble
from vectorstore.store.lists import search
from vectorstore.store.schema import VersionRow
from vectorstore.store.version import Version


def appoint(session: Connection | Session, artifact_id: int) -> None:
    """Mark the newest version of a name that is not yanked, and let text search find it instead of the one before.

    The name has to be locked.
    """
    if isinstance(session, Session):
        session.flush()
    mine = VersionRow.artifact_id == artifact_id
    usable = select(VersionRow.id).where(mine, VersionRow.yanked_at.is_(None))
    chosen = session.scalar(usable.order_by(VersionRow.number.desc()).limit(1))
    before = session.scalar(select(VersionRow.id).where(mine, VersionRow.newest))
    if before == chosen:
        return
    if before is not None:
        session.execute(update(VersionRow).where(VersionRow.id == before).values(newest=False))
        search.forget(session, before)
    if chosen is None:
        return
    session.execute(update(VersionRow).where(VersionRow.id == chosen).values(newest=True))
    (version,) = assemble(session, [chosen])
    catalogue.make_findable(session, chosen, version)


def changed(session: Session, row: VersionRow) -> Version:
    """Return a version as it is after a change, which summaries and text search then know of."""
    (version,) = catalogue.summarise(session, [row.id])
    if row.newest:
        catalogue.make_findable(session, row.id, version)
    return version

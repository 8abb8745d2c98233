"""Soundness: whether the rows agree with the manifests they were made from, with each other, and with their history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from vectorstore.errors import IntegrityError
from vectorstore.manifest import Manifest
from vectorstore.reference import short_name
from vectorstore.store import events
from vectorstore.store.assembly import assemble
from vectorstore.store.reading import read_versions
from vectorstore.store.schema import ArtifactRow, BlobRow, NamespaceRow, TombstoneRow, VersionRow
from vectorstore.store.store import Store
from vectorstore.store.tables import is_sqlite
from vectorstore.store.upkeep.problems import Checked, Problem, pages
from vectorstore.store.upkeep.stored_draft import stored_draft
from vectorstore.store.version import Version

_RESTORE = "restore the database from a backup"
_SUMMARISE = "its own rows are sound: steer db downgrade 0002 --yes and steer db upgrade write all summaries anew"


def of_database(store: Store, checked: Checked) -> Iterator[Problem]:
    """Let SQLite look over its own file; PostgreSQL keeps its own in order."""
    with store.database.read() as session:
        if not is_sqlite(session):
            return
        look = "integrity_check" if checked.full else "quick_check"
        for (said,) in session.execute(text(f"PRAGMA {look}")):
            if said != "ok":
                yield Problem("database", "library", str(said), _RESTORE)
        for table, row, parent, _ in session.execute(text("PRAGMA foreign_key_check")):
            yield Problem("database", f"row {row} of {table}", f"it refers to a row of {parent} that is gone", _RESTORE)


def of_versions(store: Store, checked: Checked) -> Iterator[Problem]:
    """Compare every version's rows with its manifest, and in full with what its blobs hold."""
    for rows in pages(store, select(VersionRow.id), VersionRow.id):
        ids = [version_id for (version_id,) in rows]
        checked.versions += len(ids)
        versions, problems = _read(store, ids)
        yield from problems
        with store.database.read() as session:
            manifests = [version.digest for version in versions]
            sizes = session.execute(select(BlobRow.digest, BlobRow.size).where(BlobRow.digest.in_(manifests)))
            known: dict[str, int] = {row.digest: row.size for row in sizes}
        for version in versions:
            said = _difference(store, version, known.get(version.digest), full=checked.full)
            if said and _is_there(store, version):
                yield Problem("version", str(version), said, "restore the library from a backup")


def _read(store: Store, ids: list[int]) -> tuple[list[Version], list[Problem]]:
    """Return the versions of a page, and what is wrong with the rows of those that cannot be read."""
    with store.database.read() as session:
        there = list(session.scalars(select(VersionRow.id).where(VersionRow.id.in_(ids)).order_by(VersionRow.id)))
        try:
            versions = assemble(session, there)
        except IntegrityError as error:
            if len(there) == 1:
                return [], [Problem("version", f"row {there[0]}", error.problem, _RESTORE)]
        else:
            return versions, list(_summary_problems(session, there, versions))
    each = [_read(store, [version_id]) for version_id in there]
    return [version for versions, _ in each for version in versions], [said for _, told in each for said in told]


def _summary_problems(session: Session, ids: list[int], versions: list[Version]) -> Iterator[Problem]:
    """Compare what lists show of versions with what their other rows say."""
    with suppress(IntegrityError):
        if read_versions(session, ids) == versions:
            return
    for version_id, version in zip(ids, versions, strict=True):
        try:
            (shown,) = read_versions(session, [version_id])
        except IntegrityError as error:
            yield Problem("version", str(version), error.problem, _SUMMARISE)
        else:
            if shown != version:
                told = next(name for name in vars(version) if getattr(version, name) != getattr(shown, name))
                yield Problem("version", str(version), f"lists show something else of it: its {told}", _SUMMARISE)


def _is_there(store: Store, version: Version) -> bool:
    """Return whether a version was not deleted, and its bytes collected, while they were looked at."""
    mine = select(VersionRow.id).where(VersionRow.digest == version.digest, VersionRow.number == version.number)
    with store.database.read() as session:
        return session.scalar(mine.where(VersionRow.full_name == version.full_name)) is not None


def _difference(store: Store, version: Version, size: int | None, *, full: bool) -> str:
    """Return what differs between a version's rows and its bytes, or nothing; missing bytes are told elsewhere."""
    if size is None or not store.blobs.exists(version.digest):
        return ""
    try:
        manifest = Manifest.from_bytes(bytes(store.blobs.open(version.digest, size)))
        if (manifest.digest, manifest.kind, manifest.blobs) != (version.digest, version.kind, version.blobs):
            return "its rows are not those of its manifest"
        return _deep_difference(store, version, manifest) if full else ""
    except IntegrityError as error:
        return error.problem


def _deep_difference(store: Store, version: Version, manifest: Manifest) -> str:
    draft = stored_draft(manifest, store.blobs.open)
    if dict(draft.directions) != dict(version.directions):
        return "its directions are not those of its vector"
    card = draft.card
    if card and (card.model, card.method.name) != (version.model, version.method):
        return "its model or method is not that of its card"
    return ""


def of_names(store: Store, _checked: Checked) -> Iterator[Problem]:
    """Check that numbers go on from the highest there ever was, and that the newest usable version is marked."""
    mine = VersionRow.artifact_id == ArtifactRow.id
    last = select(func.max(VersionRow.number)).where(mine).correlate(ArtifactRow)
    deleted = select(func.max(TombstoneRow.number)).where(TombstoneRow.artifact_id == ArtifactRow.id)
    usable, marked = last.where(VersionRow.yanked_at.is_(None)), last.where(VersionRow.newest)
    numbers = (query.scalar_subquery() for query in (last, deleted.correlate(ArtifactRow), usable, marked))
    columns = (ArtifactRow.id, NamespaceRow.name, ArtifactRow.name, ArtifactRow.next_version)
    query = select(*columns, *numbers).join(ArtifactRow.namespace)
    for rows in pages(store, query, ArtifactRow.id):
        for _, namespace, short, following, highest, buried, newest, mark in rows:
            name = short_name(f"{namespace}/{short}")
            if following <= max(highest or 0, buried or 0):
                yield Problem("name", name, f"its next version would be {following}, which was there before", _RESTORE)
            if newest != mark:
                yield Problem("name", name, f"version {mark} is marked as its newest, not {newest}", _RESTORE)


def of_events(store: Store, checked: Checked) -> Iterator[Problem]:
    """Follow every namespace's chain of events."""
    with store.database.read() as session:
        for name in session.scalars(select(NamespaceRow.name).order_by(NamespaceRow.name)).all():
            try:
                checked.events += events.verify(session, name)
            except IntegrityError as error:
                yield Problem("events", name, error.problem, error.hint)


CHECKS = (of_database, of_versions, of_names, of_events)

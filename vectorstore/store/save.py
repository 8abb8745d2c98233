"""The commit protocol: a blob is never lost and never dangles.

1. Each blob is streamed to `tmp`, counted and hashed, checked, and synced.
2. Transaction A notes the blobs as `pending`, with a lease that keeps them from being collected.
3. Each file gets its digest's name, and its folder is synced.
4. Transaction B makes the blobs `live` and adds the version with all that belongs to it: all or nothing.
5. Only then is it saved.

A crash anywhere leaves a file in `tmp` or an expired pending row, never a version without bytes.

All transactions lock in one order: artifact, blobs by digest, namespace. So none waits for another in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import Connection, Select, Update, bindparam, case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from vectorstore.errors import ConflictError, NotAllowedError, UnavailableError
from vectorstore.manifest import BlobEntry
from vectorstore.reference import short_name
from vectorstore.store import catalogue, events
from vectorstore.store.blobs.protocol import Blobs, Staged
from vectorstore.store.database import Database
from vectorstore.store.draft import Draft
from vectorstore.store.insertion import OF_NAME, Name, insert_version
from vectorstore.store.links import parents, pinned
from vectorstore.store.schema import ArtifactRow, Base, BlobRow, NamespaceRow, TombstoneRow, VersionRow, table_of
from vectorstore.store.tables import is_sqlite
from vectorstore.store.version import Saved

LEASE = timedelta(hours=1)
RESERVED = "system"
"""The namespace whose events tell of users and tokens; nothing is saved there."""
_OTHER = "let it have another number, or another name"

# Statements are made once: making one takes longer than running it.
_BLOBS, _NAMES, _NAMESPACES = table_of(BlobRow), table_of(ArtifactRow), table_of(NamespaceRow)
_VERSIONS, _TOMBSTONES = table_of(VersionRow), table_of(TombstoneRow)
_NAMESPACE = select(_NAMESPACES.c.id).where(_NAMESPACES.c.name == bindparam("namespace"))
_NAME = (
    select(*(_NAMES.c[column] for column in Name._fields))
    .join_from(_NAMES, _NAMESPACES, _NAMESPACES.c.id == _NAMES.c.namespace_id)
    .where(_NAMESPACES.c.name == bindparam("namespace"), _NAMES.c.name == bindparam("name"))
)
_LOCKED_NAME = _NAME.with_for_update(key_share=True, of=_NAMES)
_SAME = select(_VERSIONS.c.id).where(OF_NAME, _VERSIONS.c.digest == bindparam("digest"))
_NUMBERED = select(_VERSIONS.c.digest).where(OF_NAME, _VERSIONS.c.number == bindparam("number"))
_DELETED = select(_TOMBSTONES.c.number).where(
    _TOMBSTONES.c.artifact_id == bindparam("name_id"), _TOMBSTONES.c.number == bindparam("number")
)


def _leasing(statement: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    new = statement.excluded.leased_until
    longer = case((_BLOBS.c.leased_until > new, _BLOBS.c.leased_until), else_=new)
    return statement.on_conflict_do_update(index_elements=["digest"], set_={"leased_until": longer})


_LEASE = {True: _leasing(sqlite.insert(_BLOBS)), False: _leasing(postgresql.insert(_BLOBS))}  # whether on SQLite
_MAKE = {
    (of is sqlite, row): of.insert(table_of(row)).on_conflict_do_nothing()
    for of in (sqlite, postgresql)
    for row in (NamespaceRow, ArtifactRow)
}


@cache
def _of_blobs(count: int) -> tuple[Select[tuple[datetime]], Update]:
    """Return what locks so many blobs, `digest0` to the last, and what makes them live."""
    among = _BLOBS.c.digest.in_([bindparam(f"digest{n}") for n in range(count)])
    locked = select(_BLOBS.c.leased_until).where(among).order_by(_BLOBS.c.digest).with_for_update()
    return locked, update(_BLOBS).where(among).values(state="live", verified_at=bindparam("now"))


def commit(database: Database, blobs: Blobs, draft: Draft) -> Saved:
    """Save a draft; an identical manifest under the same name is the version that is there already.

    Raises:
        ConflictError: when the name belongs to the other kind.
        NotFoundError: when a pinned version or a parent is not in the library.
        UnavailableError: when database or disk cannot take it; nothing half saved is left.
    """
    with ExitStack() as stack:
        staged: list[Staged] = []
        for content, check in (*draft.contents, (draft.manifest.to_bytes(), None)):
            staged.append(blobs.stage(content, check))
            stack.callback(staged[-1].discard)
        return commit_blobs(database, blobs, draft, staged)


def commit_blobs(
    database: Database, blobs: Blobs, draft: Draft, staged: Sequence[Staged], present: Sequence[BlobEntry] = ()
) -> Saved:
    """Save a draft whose bytes were all checked: some are staged, others are where they belong already.

    Raises:
        ConflictError, NotFoundError, UnavailableError: as for `commit`.
        IntegrityError: when what was present was collected since it was checked.
    """
    every: list[Staged | BlobEntry] = [*staged, *present]
    with database.change() as connection:
        check_name(connection, draft)
        pinned(connection, draft)
        parents(connection, draft)
        until = datetime.now(UTC) + LEASE
        lease(connection, every, until)
    for blob in staged:
        blob.publish()
    for entry in present:  # from the lease on they stay
        blobs.verify(entry.digest, entry.size, full=False)
    with database.change() as connection:
        return _publish(connection, draft, every, until)


def check_name(connection: Connection | Session, draft: Draft) -> None:
    """Refuse before anything is published what its name would refuse at the end.

    Raises:
        ConflictError: when the name belongs to the other kind, or the draft's number to another version.
        NotAllowedError: when its namespace is the reserved one.
    """
    if draft.namespace == RESERVED:
        raise NotAllowedError(f"nobody writes to '{RESERVED}'", "use a namespace of your own")
    row = connection.execute(_NAME, {"namespace": draft.namespace, "name": draft.name}).one_or_none()
    if row is None:
        return
    name = Name(*row)
    _check_kind(name, draft)
    if draft.number is not None and _existing(connection, name, draft) is None:
        _check_number(connection, name, draft)


def _check_kind(name: Name, draft: Draft) -> None:
    if name.kind != draft.manifest.kind:
        raise ConflictError(
            f"{draft.name} is a {name.kind}, and this is a {draft.manifest.kind}", "choose another name"
        )


def _check_number(connection: Connection | Session, name: Name, draft: Draft) -> None:
    """Refuse a number that another version of the name has, or had."""
    if draft.number is None:
        return
    named, coming = f"{short_name(f'{draft.namespace}/{draft.name}')}@{draft.number}", draft.manifest.digest[:19]
    mine = {"name_id": name.id, "number": draft.number}
    if (present := connection.execute(_NUMBERED, mine).scalar()) is not None:
        raise ConflictError(f"{named} is {present[:19]} here, and {coming} there", _OTHER)
    if connection.execute(_DELETED, mine).scalar() is not None:
        raise ConflictError(f"{named} was deleted here, and {coming} has this number there", _OTHER)


def lease(connection: Connection | Session, staged: Sequence[Staged | BlobEntry], until: datetime) -> None:
    """Note blobs as pending, or renew the lease of those that are there: until then they are kept.

    A lease never gets shorter: this save may have waited for the row while another one renewed it. Whoever collects a
    blob at this moment holds the row's lock until the file is gone; then this makes a new row.
    """
    rows = {blob.digest: {"digest": blob.digest, "size": blob.size, "state": "pending"} for blob in staged}
    if rows:
        ordered = [rows[digest] | {"leased_until": until} for digest in sorted(rows)]
        connection.execute(_LEASE[is_sqlite(connection)], ordered)


def _publish(connection: Connection, draft: Draft, staged: Sequence[Staged | BlobEntry], until: datetime) -> Saved:
    name = _name(connection, draft)
    _make_live(connection, {blob.digest for blob in staged}, until)
    if (same := _existing(connection, name, draft)) is not None:
        return Saved(catalogue.load(connection, same), created=False)
    _check_number(connection, name, draft)
    if draft.guard is not None:
        draft.guard(connection)
    version = insert_version(connection, name, draft, pinned(connection, draft), parents(connection, draft))
    after = {"digest": version.digest, "kind": version.kind}
    events.record(connection, name.namespace_id, "version.save", str(version), after=after)
    return Saved(version, created=True)


def _existing(connection: Connection | Session, name: Name, draft: Draft) -> int | None:
    """Return the row of the version that the draft is already, under its name."""
    if name.next_version == 1:  # it never had any
        return None
    found: int | None = connection.execute(_SAME, {"name_id": name.id, "digest": draft.manifest.digest}).scalar()
    return found


def _name(connection: Connection, draft: Draft) -> Name:
    """Return the locked row of the draft's name, made if it is the first of it."""
    mine = {"namespace": draft.namespace, "name": draft.name}
    row = connection.execute(_LOCKED_NAME, mine).one_or_none()
    if row is None:
        _make_name(connection, draft)
        row = connection.execute(_LOCKED_NAME, mine).one()
    name = Name(*row)
    _check_kind(name, draft)
    return name


def _make_name(connection: Connection, draft: Draft) -> None:
    """Make the namespace and the name, unless another program does at this moment."""
    now, kind = datetime.now(UTC), is_sqlite(connection)
    namespace_id = connection.scalar(_NAMESPACE, {"namespace": draft.namespace})
    if namespace_id is None:
        values = {"name": draft.namespace, "created_at": now, "event_seq": 0, "event_hash": ""}
        connection.execute(_MAKE[kind, NamespaceRow], values)
        namespace_id = connection.scalar(_NAMESPACE, {"namespace": draft.namespace})
    name = {"namespace_id": namespace_id, "name": draft.name, "kind": draft.manifest.kind, "created_at": now}
    connection.execute(_MAKE[kind, ArtifactRow], name | {"next_version": 1})


def _make_live(connection: Connection, digests: set[str], until: datetime) -> None:
    locked, make_live = _of_blobs(len(digests))
    mine = {f"digest{n}": digest for n, digest in enumerate(sorted(digests))}
    rows = connection.execute(locked, mine).all()
    now = datetime.now(UTC)
    # Rows alone prove nothing after the lease: the bytes may be gone, and another save be about to bring them again.
    if len(rows) != len(digests) or now >= until:
        raise UnavailableError(f"saving took longer than its lease of {LEASE}", "save again")
    if any(row.leased_until < until for row in rows):
        raise UnavailableError("the bytes were put aside while they were saved", "save again")
    connection.execute(make_live, {**mine, "now": now})


def insert_into(session: Connection | Session, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return the dialect's INSERT, which knows ON CONFLICT."""
    return sqlite.insert(row) if is_sqlite(session) else postgresql.insert(row)

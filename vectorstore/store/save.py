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

from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from vectorstore.errors import ConflictError, NotAllowedError, UnavailableError
from vectorstore.manifest import BlobEntry
from vectorstore.reference import short_name
from vectorstore.store import catalogue, events
from vectorstore.store.blobs.protocol import Blobs, Staged
from vectorstore.store.database import Database
from vectorstore.store.draft import Draft
from vectorstore.store.links import parents, pinned
from vectorstore.store.newest import appoint
from vectorstore.store.rows import preset_row, site_row
from vectorstore.store.schema import (
    ArtifactRow,
    AuthorRow,
    Base,
    BlobRow,
    LabelRow,
    LineageRow,
    NamespaceRow,
    RecipeTermRow,
    TombstoneRow,
    VersionBlobRow,
    VersionRow,
)
from vectorstore.store.tables import is_sqlite
from vectorstore.store.version import Saved

LEASE = timedelta(hours=1)
RESERVED = "system"
"""The namespace whose events tell of users and tokens; nothing is saved there."""
_OTHER = "let it have another number, or another name"


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
    with database.write() as session:
        check_name(session, draft)
        pinned(session, draft)
        parents(session, draft)
        until = datetime.now(UTC) + LEASE
        lease(session, every, until)
    for blob in staged:
        blob.publish()
    for entry in present:  # from the lease on they stay
        blobs.verify(entry.digest, entry.size, full=False)
    with database.write() as session:
        return _publish(session, draft, every, until)


def check_name(session: Session, draft: Draft) -> None:
    """Refuse before anything is published what its name would refuse at the end.

    Raises:
        ConflictError: when the name belongs to the other kind, or the draft's number to another version.
        NotAllowedError: when its namespace is the reserved one.
    """
    if draft.namespace == RESERVED:
        raise NotAllowedError(f"nobody writes to '{RESERVED}'", "use a namespace of your own")
    of_name = select(ArtifactRow).join(NamespaceRow).where(NamespaceRow.name == draft.namespace)
    artifact = session.scalar(of_name.where(ArtifactRow.name == draft.name))
    if artifact is not None:
        _check_kind(artifact, draft)
        if draft.number is not None and _existing(session, artifact.id, draft) is None:
            _check_number(session, artifact.id, draft)


def _check_kind(artifact: ArtifactRow, draft: Draft) -> None:
    if artifact.kind != draft.manifest.kind:
        raise ConflictError(
            f"{draft.name} is a {artifact.kind}, and this is a {draft.manifest.kind}", "choose another name"
        )


def _check_number(session: Session, artifact_id: int, draft: Draft) -> None:
    """Refuse a number that another version of the name has, or had."""
    if draft.number is None:
        return
    named, coming = f"{short_name(f'{draft.namespace}/{draft.name}')}@{draft.number}", draft.manifest.digest[:19]
    mine = VersionRow.artifact_id == artifact_id, VersionRow.number == draft.number
    if (present := session.scalar(select(VersionRow.digest).where(*mine))) is not None:
        raise ConflictError(f"{named} is {present[:19]} here, and {coming} there", _OTHER)
    if session.get(TombstoneRow, (artifact_id, draft.number)) is not None:
        raise ConflictError(f"{named} was deleted here, and {coming} has this number there", _OTHER)


def lease(session: Session, staged: Sequence[Staged | BlobEntry], until: datetime) -> None:
    """Note blobs as pending, or renew the lease of those that are there: until then they are kept."""
    for blob in sorted(staged, key=lambda blob: blob.digest):
        values = {"digest": blob.digest, "size": blob.size, "state": "pending", "leased_until": until}
        statement = insert_into(session, BlobRow).values(values)
        # A lease never gets shorter: this save may have waited for the row while another one renewed it.
        longer = case((BlobRow.leased_until > until, BlobRow.leased_until), else_=until)
        # Whoever collects it at this moment holds the row's lock until the file is gone; then this makes a new row.
        session.execute(statement.on_conflict_do_update(index_elements=["digest"], set_={"leased_until": longer}))


def _publish(session: Session, draft: Draft, staged: Sequence[Staged | BlobEntry], until: datetime) -> Saved:
    artifact = _artifact(session, draft)
    _make_live(session, {blob.digest for blob in staged}, until)
    if (same := _existing(session, artifact.id, draft)) is not None:
        return Saved(catalogue.load(session, same), created=False)
    _check_number(session, artifact.id, draft)
    row = _version_row(session, artifact, draft)
    (version,) = catalogue.summarise(session, [row.id])
    appoint(session, artifact.id)
    saved = Saved(version, created=True)
    after = {"digest": row.digest, "kind": artifact.kind}
    events.record(session, artifact.namespace_id, "version.save", str(saved.version), after=after)
    return saved


def _existing(session: Session, artifact_id: int, draft: Draft) -> int | None:
    """Return the row of the version that the draft is already, under its name."""
    mine = VersionRow.artifact_id == artifact_id, VersionRow.digest == draft.manifest.digest
    return session.scalar(select(VersionRow.id).where(*mine))


def _artifact(session: Session, draft: Draft) -> ArtifactRow:
    """Return the locked row of the draft's name, made if it is the first of it."""
    of_name = select(ArtifactRow).join(NamespaceRow).where(NamespaceRow.name == draft.namespace)
    mine = of_name.where(ArtifactRow.name == draft.name).with_for_update(key_share=True, of=ArtifactRow)
    artifact = session.scalar(mine)
    if artifact is None:
        _make_name(session, draft)
        artifact = session.scalars(mine).one()
    _check_kind(artifact, draft)
    return artifact


def _make_name(session: Session, draft: Draft) -> None:
    """Make the namespace and the name, unless another program does at this moment."""
    now = datetime.now(UTC)
    namespace = {"name": draft.namespace, "created_at": now, "event_seq": 0, "event_hash": ""}
    session.execute(insert_into(session, NamespaceRow).values(namespace).on_conflict_do_nothing())
    namespace_id = session.scalars(select(NamespaceRow.id).where(NamespaceRow.name == draft.namespace)).one()
    name = {"namespace_id": namespace_id, "name": draft.name, "kind": draft.manifest.kind, "created_at": now}
    session.execute(insert_into(session, ArtifactRow).values(name | {"next_version": 1}).on_conflict_do_nothing())


def _make_live(session: Session, digests: set[str], until: datetime) -> None:
    mine = select(BlobRow).where(BlobRow.digest.in_(digests)).order_by(BlobRow.digest)
    rows = session.scalars(mine.with_for_update()).all()
    # Rows alone prove nothing after the lease: the bytes may be gone, and another save be about to bring them again.
    if len(rows) != len(digests) or datetime.now(UTC) >= until:
        raise UnavailableError(f"saving took longer than its lease of {LEASE}", "save again")
    if any(row.leased_until < until for row in rows):
        raise UnavailableError("the bytes were put aside while they were saved", "save again")
    for row in rows:
        row.state, row.verified_at = "live", datetime.now(UTC)


def _version_row(session: Session, artifact: ArtifactRow, draft: Draft) -> VersionRow:
    """Add the version and everything that belongs to it, under the artifact's lock."""
    about, card = draft.about, draft.card
    row = VersionRow(
        namespace_id=artifact.namespace_id,
        artifact_id=artifact.id,
        full_name=f"{draft.namespace}/{draft.name}",
        number=draft.number or artifact.next_version,
        digest=draft.manifest.digest,
        created_at=datetime.now(UTC),
        newest=False,
        description=about.description,
        license=about.license,
        authors=[AuthorRow(position=n, author=author) for n, author in enumerate(about.authors)],
        method=card.method.name if card else None,
        model_reference=card.model.reference if card else None,
        fingerprint=card.model.fingerprint if card else None,
        architecture=card.model.architecture if card else None,
        tokenizer_digest=card.model.tokenizer_digest if card else None,
        layer_count=card.model.layer_count if card else None,
        d_model=card.model.d_model if card else None,
        model=card.model.to_json() if card else None,
        blobs=[VersionBlobRow(position=n, **blob._asdict()) for n, blob in enumerate(draft.manifest.blobs)],
        sites=[site_row(place, direction) for place, direction in draft.directions.items()],
        labels=[LabelRow(key=key, value=value) for key, value in about.labels.items()],
        presets=[preset_row(name, preset) for name, preset in about.presets.items()],
    )
    artifact.next_version = max(artifact.next_version, row.number + 1)
    session.add(row)
    session.flush()
    made_of = ((RecipeTermRow, "pinned_id", pinned(session, draft)), (LineageRow, "parent_id", parents(session, draft)))
    for link, column, ids in made_of:
        session.add_all(link(version_id=row.id, position=n, **{column: other}) for n, other in enumerate(ids))
    return row


def insert_into(session: Session, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return the dialect's INSERT, which knows ON CONFLICT."""
    return sqlite.insert(row) if is_sqlite(session) else postgresql.insert(row)

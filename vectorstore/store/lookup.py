"""Lookup: from a reference to the one version it means, or an error that says what there is."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select
from sqlalchemy.orm import Session

from vectorstore.errors import ConflictError, InvalidInputError, MisfitError, NotFoundError
from vectorstore.identity import ModelIdentity
from vectorstore.reference import DEFAULT_NAMESPACE, Reference, short_name
from vectorstore.store.names import NEIGHBOURS, namespace_id, near
from vectorstore.store.reading import to_model, undamaged
from vectorstore.store.schema import (
    DIGEST_LENGTH,
    AliasRow,
    ArtifactRow,
    NamespaceRow,
    TombstoneRow,
    VersionRow,
    table_of,
)

SHOWN = 10
_VERSIONS, _NAMES, _NAMESPACES = table_of(VersionRow), table_of(ArtifactRow), table_of(NamespaceRow)
_ALIASES = table_of(AliasRow)
_FULL_NAME = _VERSIONS.c.full_name == bindparam("full_name")
_OF_NAME = _NAMES.c.name == bindparam("name"), _NAMESPACES.c.name == bindparam("namespace")
_NAMED = _NAMES.join(_NAMESPACES, _NAMESPACES.c.id == _NAMES.c.namespace_id)
_QUICK = {
    "newest": select(_VERSIONS.c.id).where(_FULL_NAME, _VERSIONS.c.newest),
    "digest": select(_VERSIONS.c.id).where(_VERSIONS.c.digest == bindparam("value"), _FULL_NAME),
    "number": select(_VERSIONS.c.id)
    .join_from(_NAMED, _VERSIONS, _VERSIONS.c.artifact_id == _NAMES.c.id)
    .where(*_OF_NAME, _VERSIONS.c.number == bindparam("value")),
    "alias": select(_ALIASES.c.version_id)
    .join_from(_NAMED, _ALIASES, _ALIASES.c.artifact_id == _NAMES.c.id)
    .where(*_OF_NAME, _ALIASES.c.alias == bindparam("value")),
}


def artifact(session: Session, namespace: str, name: str) -> ArtifactRow:
    """Return the row of a name.

    Raises:
        NotFoundError: naming near ones.
    """
    found = session.scalar(
        select(ArtifactRow).join(NamespaceRow).where(NamespaceRow.name == namespace, ArtifactRow.name == name)
    )
    if found is not None:
        return found
    if namespace == DEFAULT_NAMESPACE and session.scalar(select(ArtifactRow.id).limit(1)) is None:
        raise NotFoundError(f"there is no '{name}': the library is empty", "make a vector with `steer compute`")
    hint = near(name, _neighbours(session, namespace_id(session, namespace), name))
    missing = short_name(f"{namespace}/{name}")
    raise NotFoundError(f"there is no '{missing}'", hint or "see `steer list` for what there is")


def find_quickly(connection: Connection, reference: Reference) -> int | None:
    """Return what `find` does without a model, in one query made before; None where that takes a closer look.

    Raises:
        InvalidInputError: for a reference to another store.
    """
    require_local(reference)
    own = {"full_name": f"{reference.namespace}/{reference.name}"}
    if reference.digest is not None:
        return None if len(reference.digest) < DIGEST_LENGTH else _first(connection, "digest", own, reference.digest)
    if reference.version is None and reference.alias is None:
        return _first(connection, "newest", own, None)
    own = {"namespace": reference.namespace, "name": reference.name}
    if reference.version is not None:
        return _first(connection, "number", own, reference.version)
    return _first(connection, "alias", own, reference.alias)


def _first(connection: Connection, query: str, own: Mapping[str, str], value: str | int | None) -> int | None:
    found: int | None = connection.execute(_QUICK[query], {**own, "value": value}).scalar()
    return found


def find(session: Session, reference: Reference, model: ModelIdentity | None = None) -> int:
    """Return the row id of the version that `reference` means.

    A bare name means its newest version that is not yanked; with `model`, the newest of these that fits it.

    Raises:
        NotFoundError: when there is none; says what there is.
        ConflictError: when a digest's beginning means several versions; lists them.
        MisfitError: when no version of a bare name fits `model`; lists the models there are versions for.
    """
    require_local(reference)
    row = artifact(session, reference.namespace, reference.name)
    if reference.version is not None:
        return _numbered(session, row, reference)
    if reference.alias is not None:
        return _aliased(session, row, reference)
    if reference.digest is not None:
        return _digested(session, row, reference)
    if model is None or row.kind == "recipe":
        return _newest(session, row, reference)
    return _fitting(session, row, reference, model)


def require_local(reference: Reference) -> None:
    """Refuse a reference to another store.

    Raises:
        InvalidInputError: for such a reference.
    """
    if reference.remote is not None:
        raise InvalidInputError(
            f"'{reference}' is in another store",
            f"type: steer pull {reference.version_text}, and use its name here; "
            "or open the library with Store.open(remotes=vectorstore.client.remotes.Remotes())",
        )


def _numbered(session: Session, row: ArtifactRow, reference: Reference) -> int:
    found = session.scalar(_ids(row).where(VersionRow.number == reference.version))
    if found is None:
        _refuse_deleted(session, row, reference, TombstoneRow.number == reference.version)
        raise NotFoundError(f"{_name(reference)} has no version {reference.version}", _numbers(session, row))
    return found


def _aliased(session: Session, row: ArtifactRow, reference: Reference) -> int:
    mine = AliasRow.artifact_id == row.id
    found = session.scalar(select(AliasRow.version_id).where(mine, AliasRow.alias == reference.alias))
    if found is None:
        aliases = session.scalars(select(AliasRow.alias).where(mine).order_by(AliasRow.alias).limit(SHOWN)).all()
        hint = f"it has {', '.join(aliases)}" if aliases else f"it has no aliases; {_numbers(session, row)}"
        raise NotFoundError(f"{_name(reference)} has no alias '{reference.alias}'", hint)
    return found


def _digested(session: Session, row: ArtifactRow, reference: Reference) -> int:
    start = str(reference.digest)
    between = and_(VersionRow.digest >= start, VersionRow.digest < f"{start}g")  # g follows the last hex digit
    found = session.execute(
        select(VersionRow.id, VersionRow.number, VersionRow.digest)
        .where(VersionRow.artifact_id == row.id, between)
        .order_by(VersionRow.number)
        .limit(SHOWN)
    ).all()
    if not found:
        _refuse_deleted(session, row, reference, and_(TombstoneRow.digest >= start, TombstoneRow.digest < f"{start}g"))
        raise NotFoundError(f"{_name(reference)} has no version with digest {start}", _numbers(session, row))
    if len(found) > 1:
        listed = ", ".join(f"@{number} is {digest[:19]}" for _, number, digest in found)
        raise ConflictError(f"{_name(reference)}@{start} means several versions", f"write more digits: {listed}")
    return int(found[0].id)


def _newest(session: Session, row: ArtifactRow, reference: Reference) -> int:
    found = session.scalar(_ids(row).where(VersionRow.newest))
    if found is None:
        present = session.scalar(_ids(row).limit(1)) is not None
        what = "yanked" if present else "deleted"
        hint = _numbers(session, row)
        more = f"; name one, or take it back: steer restore {_name(reference)}@N" if present else ""
        raise NotFoundError(f"every version of {_name(reference)} is {what}", f"{hint}{more}")
    return found


def _refuse_deleted(session: Session, row: ArtifactRow, reference: Reference, which: ColumnElement[bool]) -> None:
    """Say of a version that is not there that it was deleted, if it was."""
    mine = select(TombstoneRow).where(TombstoneRow.artifact_id == row.id, which)
    tombstone = session.scalar(mine.order_by(TombstoneRow.number.desc()).limit(1))
    if tombstone is None:
        return
    why = f": {tombstone.reason}" if tombstone.reason else ""
    when = f"on {tombstone.deleted_at:%Y-%m-%d} by {tombstone.actor}"
    raise NotFoundError(
        f"{_name(reference)}@{tombstone.number} was deleted {when}{why}",
        _numbers(session, row),
    )


def _fitting(session: Session, row: ArtifactRow, reference: Reference, model: ModelIdentity) -> int:
    newest = _newest(session, row, reference)
    alike = VersionRow.architecture == model.architecture, VersionRow.layer_count == model.layer_count
    usable = select(VersionRow).where(VersionRow.artifact_id == row.id, VersionRow.yanked_at.is_(None))
    candidates = usable.where(*alike)  # what no misfit has; `fit` knows the rest
    with undamaged():
        for candidate in session.scalars(candidates.order_by(VersionRow.number.desc())):
            made_on = to_model(candidate)
            if made_on is not None and made_on.fit(model) != "mismatch":
                return candidate.id
        rows = session.scalars(usable.where(VersionRow.id != newest).order_by(VersionRow.number.desc()).limit(SHOWN))
        models = [to_model(found) for found in (session.get_one(VersionRow, newest), *rows)]
    known = dict.fromkeys(f"{made_on.describe()}" for made_on in models if made_on)
    raise MisfitError(
        f"no version of {_name(reference)} fits {model.describe()}",
        f"it has versions for {', '.join(known)}; compute it on this model too, or ask for a version by its number",
    )


def _ids(row: ArtifactRow) -> Select[int]:
    return select(VersionRow.id).where(VersionRow.artifact_id == row.id)


def _name(reference: Reference) -> str:
    return short_name(f"{reference.namespace}/{reference.name}")


def _numbers(session: Session, row: ArtifactRow) -> str:
    newest = select(VersionRow.number).where(VersionRow.artifact_id == row.id).order_by(VersionRow.number.desc())
    numbers = session.scalars(newest.limit(SHOWN + 1)).all()
    listed = ", ".join(f"@{number}" for number in reversed(numbers[:SHOWN]))
    return f"it has {'…, ' if len(numbers) > SHOWN else ''}{listed}" if numbers else "it has no versions"


def _neighbours(session: Session, namespace: int, name: str) -> list[str]:
    """Return the names around `name` in the alphabet; in a small library these are all."""
    names = select(ArtifactRow.name).where(ArtifactRow.namespace_id == namespace)
    before = names.where(ArtifactRow.name < name).order_by(ArtifactRow.name.desc()).limit(NEIGHBOURS)
    after = names.where(ArtifactRow.name > name).order_by(ArtifactRow.name).limit(NEIGHBOURS)
    return [*session.scalars(before), *session.scalars(after)]

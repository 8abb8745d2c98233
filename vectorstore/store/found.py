"""Finding many versions in one query, with just what reading them needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, Select, bindparam, select
from sqlalchemy.orm import Session

from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.store.reading import to_model, undamaged
from vectorstore.store.schema import VersionBlobRow, VersionRow
from vectorstore.store.version import Found

AT_ONCE = 500
_VERSIONS, _BLOBS = VersionRow.__table__.c, VersionBlobRow.__table__.c
_KEYS: BindParameter[str] = bindparam("keys", expanding=True)


def find_newest(session: Session, full_names: Iterable[str], model: ModelIdentity | None = None) -> dict[str, Found]:
    """Return the newest version that is not yanked of each `namespace/name` that has one, by that.

    With `model`, vectors that do not fit it are left out: an older version may fit.
    """
    names = full_names if model is None else _fitting(session, full_names, model)
    return {each.full_name: each for each in _found(session, _NEWEST, names)}


def find_pinned(session: Session, digests: Iterable[str]) -> dict[tuple[str, str], Found]:
    """Return the versions of these digests that are there, by `namespace/name` and digest."""
    return {(each.full_name, each.digest): each for each in _found(session, _PINNED, digests)}


def _fitting(session: Session, full_names: Iterable[str], model: ModelIdentity) -> list[str]:
    """Return the names whose newest version is a recipe, or was computed on a model that fits."""
    columns = _VERSIONS.id, _VERSIONS.full_name, _VERSIONS.model
    query = select(*columns).where(_VERSIONS.full_name.in_(_KEYS), _VERSIONS.newest)
    with undamaged():
        made_on = {row.full_name: to_model(row) for row in _rows(session, query, full_names)}
    return [name for name, other in made_on.items() if other is None or other.fit(model) != "mismatch"]


def _query(key: ColumnElement[str], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the query for the versions whose `key` is one of some, and their blobs in order."""
    return (
        select(
            *(_VERSIONS[name] for name in ("id", "full_name", "number", "digest", "method")),
            *(_BLOBS[name].label(f"blob_{name}") for name in ("media_type", "digest", "size")),
        )
        .join_from(VersionRow.__table__, VersionBlobRow.__table__, _BLOBS.version_id == _VERSIONS.id)
        .where(key.in_(_KEYS), *conditions)
        .order_by(_VERSIONS.id, _BLOBS.position)
    )


_NEWEST = _query(_VERSIONS.full_name, _VERSIONS.newest)
_PINNED = _query(_VERSIONS.digest)


def _found(session: Session, query: Select[Any], keys: Iterable[str]) -> Iterator[Found]:
    with undamaged():
        for _, same in groupby(_rows(session, query, keys), lambda row: row.id):
            yield _one(list(same))


def _rows(session: Session, query: Select[Any], keys: Iterable[str]) -> Iterator[Row[Any]]:
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), AT_ONCE):
        yield from session.connection().execute(query, {"keys": wanted[start : start + AT_ONCE]})


def _one(rows: Sequence[Row[Any]]) -> Found:
    """Return the version of its rows, one for each of its blobs."""
    first = rows[0]
    namespace, name = first.full_name.split("/")
    return Found(
        namespace=namespace,
        name=name,
        number=first.number,
        digest=first.digest,
        kind="recipe" if first.method is None else "vector",
        blobs=tuple(BlobEntry(row.blob_media_type, row.blob_digest, row.blob_size) for row in rows),
    )

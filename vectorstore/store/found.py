"""Finding many versions in one query, with just what reading them needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, Select, Text, any_, bindparam, cast, select, text

from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.store.reading import to_model, undamaged
from vectorstore.store.schema import VersionBlobRow, VersionRow
from vectorstore.store.tables import is_sqlite
from vectorstore.store.version import Found

AT_ONCE = 500
_VERSIONS, _BLOBS = VersionRow.__table__.c, VersionBlobRow.__table__.c


def find_newest(
    connection: Connection, full_names: Iterable[str], model: ModelIdentity | None = None
) -> dict[str, Found]:
    """Return the newest version that is not yanked of each `namespace/name` that has one, by that.

    With `model`, vectors that do not fit it are left out: an older version may fit.
    """
    names = full_names if model is None else _fitting(connection, full_names, model)
    return {each.full_name: each for each in _found(connection, "full_name", names)}


def find_pinned(connection: Connection, digests: Iterable[str]) -> dict[tuple[str, str], Found]:
    """Return the versions of these digests that are there, by `namespace/name` and digest."""
    return {(each.full_name, each.digest): each for each in _found(connection, "digest", digests)}


def _fitting(connection: Connection, full_names: Iterable[str], model: ModelIdentity) -> list[str]:
    """Return the names whose newest version is a recipe, or was computed on a model that fits."""
    columns = _VERSIONS.id, _VERSIONS.full_name, _VERSIONS.model
    query = select(*columns).where(_among("full_name", sqlite=is_sqlite(connection)), _VERSIONS.newest)
    with undamaged():
        made_on = {row.full_name: to_model(row) for row in _rows(connection, query, full_names)}
    return [name for name, other in made_on.items() if other is None or other.fit(model) != "mismatch"]


@cache
def _query(key: str, *, sqlite: bool) -> Select[Any]:
    """Return the query for the versions whose `key` is one of some, and their blobs in order."""
    query = (
        select(
            *(_VERSIONS[name] for name in ("id", "full_name", "number", "digest", "method")),
            *(_BLOBS[name].label(f"blob_{name}") for name in ("media_type", "digest", "size")),
        )
        .join_from(VersionRow.__table__, VersionBlobRow.__table__, _BLOBS.version_id == _VERSIONS.id)
        .where(_among(key, sqlite=sqlite))
        .order_by(_VERSIONS.id, _BLOBS.position)
    )
    return query.where(_VERSIONS.newest) if key == "full_name" else query


def _among(key: str, *, sqlite: bool) -> ColumnElement[bool]:
    # One parameter however many there are: the query's text stays the same.
    if sqlite:
        return _VERSIONS[key].in_(text("SELECT value FROM json_each(:keys)"))
    return _VERSIONS[key] == any_(cast(bindparam("keys"), ARRAY(Text)))


def _found(connection: Connection, key: str, keys: Iterable[str]) -> Iterator[Found]:
    """Yield the versions: each has as many rows as blobs, one after another."""
    last: Sequence[Any] | None = None
    blobs: list[BlobEntry] = []
    with undamaged():
        for row in _rows(connection, _query(key, sqlite=is_sqlite(connection)), keys):
            if last is not None and row[0] != last[0]:
                yield _one(last, blobs)
                blobs = []
            blobs.append(BlobEntry(*row[5:]))
            last = row
        if last is not None:
            yield _one(last, blobs)


def _rows(connection: Connection, query: Select[Any], keys: Iterable[str]) -> Iterator[Any]:
    wanted, sqlite = sorted(set(keys)), is_sqlite(connection)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        yield from connection.execute(query, {"keys": json.dumps(some) if sqlite else some}).all()


def _one(row: Sequence[Any], blobs: Iterable[BlobEntry]) -> Found:
    _, full_name, number, digest, method, *_ = row
    namespace, _, name = full_name.partition("/")
    return Found(namespace, name, number, digest, "recipe" if method is None else "vector", tuple(blobs))

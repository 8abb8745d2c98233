"""Reading: versions from their rows. Many take as many queries as one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Select, TableClause, Text, cast, select, text

from vectorstore.coefficient import Coefficient
from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.place import SITES as SITE_NAMES
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.tables import (
    ALIASES,
    AUTHORS,
    BLOBS,
    LABELS,
    PRESETS,
    SITES,
    VERSIONS,
    is_sqlite,
)
from vectorstore.store.version import Direction, Version

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Parts = Mapping[int, Sequence[Sequence[Any]]]
"""Rows by version, each without the version's id."""

_SITE_ORDER = {name: order for order, name in enumerate(SITE_NAMES)}


class ModelRow(Protocol):
    """A version's row, as far as it says which model it was computed on."""

    id: Any
    model: Any


@contextmanager
def undamaged() -> Iterator[None]:
    """Say of values that no row of ours has, whether the driver or we fail to read them, that they are damaged.

    Raises:
        IntegrityError: for such a value.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"a row of the library is damaged ({error})", "restore the database from a backup"
        ) from error


def read_versions(connection: Connection | Session, ids: Sequence[int]) -> list[Version]:
    """Return the versions of these rows, in this order.

    Raises:
        IntegrityError: where a row is damaged, or there is none.
    """
    if not ids:
        return []
    sqlite = is_sqlite(connection)
    asked = {"ids": json.dumps(list(ids)) if sqlite else list(ids)}
    versions, *parts = _queries(sqlite=sqlite)
    with undamaged():
        rows = {row.id: row for row in connection.execute(versions, asked).all()}
        found = [_parts(connection, query, asked) for query in parts]
        return [_version(rows[number], [part[number] for part in found]) for number in ids]


def to_model(row: ModelRow) -> ModelIdentity | None:
    """Return the model that a version was computed on; recipes have none."""
    return None if row.model is None else ModelIdentity.from_json(Fields(row.model, f"the model of version {row.id}"))


@cache
def _queries(*, sqlite: bool) -> tuple[Select[Any], ...]:
    """Return the queries for versions, blobs, sites, aliases, authors, labels and presets of `ids`."""
    # One parameter however many there are: the query's text stays the same, and so do its plans.
    listed = "IN (SELECT value FROM json_each(:ids))" if sqlite else "= ANY(CAST(:ids AS BIGINT[]))"
    columns = (column for column in VERSIONS.c if column is not VERSIONS.c.model)
    return (
        select(*columns, cast(VERSIONS.c.model, Text).label("model")).where(text(f"versions.id {listed}")),
        _part(BLOBS, listed, "position", ("media_type", "digest", "size")),
        _part(SITES, listed, "layer", ("site", "layer", "width", "positions", "norm", "residual_norm")),
        _part(ALIASES, listed, "alias", ("alias",)),
        _part(AUTHORS, listed, "position", ("author",)),
        _part(LABELS, listed, "key", ("key", "value")),
        _part(PRESETS, listed, "name", ("name", "coefficient", "unit", "first_layer", "last_layer", "tokens")),
    )


def _part(part: TableClause, listed: str, order: str, columns: Sequence[str]) -> Select[Any]:
    wanted = select(part.c.version_id, *(part.c[name] for name in columns))
    return wanted.where(text(f"{part.name}.version_id {listed}")).order_by(part.c.version_id, part.c[order])


def _parts(connection: Connection | Session, query: Select[Any], asked: Mapping[str, Any]) -> Parts:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for version_id, *row in connection.execute(query, asked).all():
        found[version_id].append(row)
    return found


def _version(row: Any, parts: Sequence[Sequence[Any]]) -> Version:  # noqa: ANN401 - a Row of the columns
    blobs, sites, aliases, authors, labels, presets = parts
    namespace, _, name = row.full_name.partition("/")
    return Version(
        namespace=namespace,
        name=name,
        number=row.number,
        digest=row.digest,
        kind="recipe" if row.method is None else "vector",
        created_at=row.created_at,
        blobs=tuple(BlobEntry(*blob) for blob in blobs),
        model=None if row.model is None else _model(row.model),
        method=row.method,
        directions=MappingProxyType(dict(map(_direction, sorted(sites, key=_site_order)))),
        labels=MappingProxyType(dict(labels)),
        aliases=tuple(alias for (alias,) in aliases),
        presets=MappingProxyType({name: _preset(*preset) for name, *preset in presets}),
        description=row.description,
        license=row.license,
        authors=tuple(author for (author,) in authors),
        yanked=row.yanked_at is not None,
    )


@lru_cache(maxsize=1024)  # many versions have the same
def _model(model: str) -> ModelIdentity | None:
    read = json.loads(model)
    return None if read is None else ModelIdentity.from_json(Fields(read, "the model of a version"))


@lru_cache(maxsize=1024)
def _preset(coefficient: str, unit: str, first: int | None, last: int | None, tokens: str | None) -> Preset:
    layers = None if first is None or last is None else (first, last)
    number = Coefficient(Fraction(coefficient), "r" if unit == "r" else "raw")
    return Preset(number, layers, tokens)  # type: ignore[arg-type]


def _direction(row: Sequence[Any]) -> tuple[Place, Direction]:
    return Place(row[0], row[1]), Direction(*row[2:])


def _site_order(row: Sequence[Any]) -> int:
    return _SITE_ORDER[row[0]]

"""Assembly: versions from all their rows, which is what their summaries are made of, and compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import CompoundSelect, Connection, Select, Text, cast, literal_column, null, select, text, union_all

from vectorstore.manifest import BlobEntry
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.reading import undamaged
from vectorstore.store.summary import read_model, read_preset
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

Parts = tuple[list[Sequence[Any]], ...]
"""The rows of each kind of part."""

_PARTS = (
    (BLOBS, ("position", "media_type", "digest", "size")),
    (SITES, ("site", "layer", "width", "positions", "norm", "residual_norm")),
    (ALIASES, ("alias",)),
    (AUTHORS, ("position", "author")),
    (LABELS, ("key", "value")),
    (PRESETS, ("name", "coefficient", "unit", "first_layer", "last_layer", "tokens")),
)
_WIDEST = max(len(names) for _, names in _PARTS)


def assemble(session: Connection | Session, ids: Sequence[int]) -> list[Version]:
    """Return the versions of these rows, in this order.

    Raises:
        IntegrityError: where a row is damaged, or there is none.
    """
    if not ids:
        return []
    sqlite = is_sqlite(session)
    asked = {"ids": json.dumps(list(ids)) if sqlite else list(ids)}
    versions, parts = _queries(sqlite=sqlite)
    with undamaged():
        rows = {row.id: row for row in session.execute(versions, asked).all()}
        found: dict[int, Parts] = {number: tuple([] for _ in _PARTS) for number in ids}
        for part, version_id, *values in session.execute(parts, asked).all():
            found[version_id][int(part)].append(values)
        return [_version(rows[number], found[number]) for number in ids]


@cache
def _queries(*, sqlite: bool) -> tuple[Select[Any], CompoundSelect[Any]]:
    """Return the queries for versions of `ids`, and for all that belongs to them."""
    # One parameter however many there are: the query's text stays the same, and so do its plans.
    listed = "IN (SELECT value FROM json_each(:ids))" if sqlite else "= ANY(CAST(:ids AS BIGINT[]))"
    columns = (column for column in VERSIONS.c if column is not VERSIONS.c.model)
    versions = select(*columns, cast(VERSIONS.c.model, Text).label("model")).where(text(f"versions.id {listed}"))
    return versions, union_all(*(_part(number, listed, as_text=not sqlite) for number in range(len(_PARTS))))


def _part(number: int, listed: str, *, as_text: bool) -> Select[Any]:
    """Return the query for one kind of part, with as many columns as all: PostgreSQL wants them to be of one type."""
    table, names = _PARTS[number]
    columns = [cast(table.c[name], Text) if as_text else table.c[name] for name in names]
    padding = [cast(null(), Text) if as_text else null()] * (_WIDEST - len(names))
    wanted = select(literal_column(str(number)), table.c.version_id, *columns, *padding)
    return wanted.where(text(f"{table.name}.version_id {listed}"))


def _version(row: Any, parts: Parts) -> Version:  # noqa: ANN401 - a Row of the columns
    blobs, sites, aliases, authors, labels, presets = parts
    namespace, _, name = row.full_name.partition("/")
    return Version(
        namespace=namespace,
        name=name,
        number=row.number,
        digest=row.digest,
        kind="recipe" if row.method is None else "vector",
        created_at=row.created_at,
        blobs=tuple(BlobEntry(blob[1], blob[2], int(blob[3])) for blob in sorted(blobs, key=_position)),
        model=None if row.model is None else read_model(row.model),
        method=row.method,
        directions=MappingProxyType(dict(sorted(map(_direction, sites), key=_place_order))),
        labels=MappingProxyType({label[0]: label[1] for label in sorted(labels, key=_first)}),
        aliases=tuple(sorted(alias[0] for alias in aliases)),
        presets=MappingProxyType({preset[0]: _preset(*preset[1:]) for preset in sorted(presets, key=_first)}),
        description=row.description,
        license=row.license,
        authors=tuple(author[1] for author in sorted(authors, key=_position)),
        yanked=row.yanked_at is not None,
        yank_reason=row.yank_reason or "",
        deprecation=row.deprecation,
    )


def _preset(coefficient: str, unit: str, first: int | str | None, last: int | str | None, tokens: str | None) -> Preset:
    layers = (None if first is None else int(first), None if last is None else int(last))
    return read_preset(coefficient, unit, *layers, tokens)


def _direction(row: Sequence[Any]) -> tuple[Place, Direction]:
    site, layer, width, positions, norm, residual_norm = row
    direction = Direction(
        width=int(width),
        positions=None if positions is None else int(positions),
        norm=float(norm),
        residual_norm=None if residual_norm is None else float(residual_norm),
    )
    return Place(site, int(layer)), direction


def _place_order(direction: tuple[Place, Direction]) -> tuple[int, int]:
    return direction[0].order


def _position(row: Sequence[Any]) -> int:
    return int(row[0])


def _first(row: Sequence[Any]) -> str:
    return str(row[0])

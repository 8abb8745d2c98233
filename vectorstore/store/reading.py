"""Reading: versions from their rows. Many take as many queries as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BindParameter, Connection, Row, TableClause, bindparam, select

from vectorstore.coefficient import Coefficient
from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.place import SITES as SITE_NAMES
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.tables import ALIASES, ARTIFACTS, AUTHORS, BLOBS, LABELS, NAMESPACES, PRESETS, SITES, VERSIONS
from vectorstore.store.version import Direction, Version

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Parts = Mapping[int, Sequence[Any]]

_IDS: BindParameter[int] = bindparam("ids", expanding=True)
_VERSIONS = (
    select(*VERSIONS.c, ARTIFACTS.c.name, ARTIFACTS.c.kind, NAMESPACES.c.name.label("namespace"))
    .join(ARTIFACTS, ARTIFACTS.c.id == VERSIONS.c.artifact_id)
    .join(NAMESPACES, NAMESPACES.c.id == ARTIFACTS.c.namespace_id)
    .where(VERSIONS.c.id.in_(_IDS))
)


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
    with undamaged():
        rows = {row.id: row for row in connection.execute(_VERSIONS, {"ids": ids})}
        parts = {name: _parts(connection, query, ids) for name, query in _PARTS.items()}
        return [_version(rows[number], {name: parts[name][number] for name in parts}) for number in ids]


def to_model(row: ModelRow) -> ModelIdentity | None:
    """Return the model that a version was computed on; recipes have none."""
    return None if row.model is None else ModelIdentity.from_json(Fields(row.model, f"the model of version {row.id}"))


def _of_versions(table: TableClause, *order: str) -> Any:  # noqa: ANN401 - a Select of all its columns
    mine = table.c.version_id.in_(_IDS)
    return select(*table.c).where(mine).order_by(table.c.version_id, *(table.c[name] for name in order))


_PARTS = {
    "blobs": _of_versions(BLOBS, "position"),
    "sites": _of_versions(SITES),
    "aliases": _of_versions(ALIASES, "alias"),
    "authors": _of_versions(AUTHORS, "position"),
    "labels": _of_versions(LABELS, "key"),
    "presets": _of_versions(PRESETS, "name"),
}


def _parts(connection: Connection | Session, query: Any, ids: Sequence[int]) -> Parts:  # noqa: ANN401 - a Select
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(query, {"ids": ids}):
        found[row.version_id].append(row)
    return found


def _version(row: Any, parts: Mapping[str, Sequence[Any]]) -> Version:  # noqa: ANN401 - a Row of all its columns
    return Version(
        namespace=row.namespace,
        name=row.name,
        number=row.number,
        digest=row.digest,
        kind=row.kind,
        created_at=row.created_at,
        blobs=tuple(BlobEntry(blob.media_type, blob.digest, blob.size) for blob in parts["blobs"]),
        model=to_model(row),
        method=row.method,
        directions=MappingProxyType(dict(map(_direction, sorted(parts["sites"], key=_order)))),
        labels=MappingProxyType({label.key: label.value for label in parts["labels"]}),
        aliases=tuple(alias.alias for alias in parts["aliases"]),
        presets=MappingProxyType({preset.name: _preset(preset) for preset in parts["presets"]}),
        description=row.description,
        license=row.license,
        authors=tuple(author.author for author in parts["authors"]),
        yanked=row.yanked_at is not None,
    )


def _preset(row: Row[Any]) -> Preset:
    unit = "r" if row.unit == "r" else "raw"
    layers = None if row.first_layer is None or row.last_layer is None else (row.first_layer, row.last_layer)
    return Preset(Coefficient(Fraction(row.coefficient), unit), layers, row.tokens)  # type: ignore[arg-type]


def _direction(row: Row[Any]) -> tuple[Place, Direction]:
    return Place(row.site, row.layer), Direction(row.width, row.positions, row.norm, row.residual_norm)


def _order(row: Row[Any]) -> tuple[int, int]:
    return SITE_NAMES.index(row.site), row.layer

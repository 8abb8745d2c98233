"""Insertion: a new version and all that belongs to it, written without the ORM, which takes several times as long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, bindparam, insert, update

from vectorstore.store import catalogue
from vectorstore.store.draft import Draft
from vectorstore.store.lists import search
from vectorstore.store.newest import appoint
from vectorstore.store.rows import Values, model_values, preset_values, site_values
from vectorstore.store.schema import (
    ArtifactRow,
    AuthorRow,
    Base,
    LabelRow,
    LineageRow,
    PresetRow,
    RecipeTermRow,
    SummaryRow,
    VersionBlobRow,
    VersionRow,
    VersionSiteRow,
    table_of,
)
from vectorstore.store.summary import read_preset, to_text
from vectorstore.store.version import Version

_NAMES, _VERSIONS = table_of(ArtifactRow), table_of(VersionRow)
OF_NAME = _VERSIONS.c.artifact_id == bindparam("name_id")
"""Of the name whose row is the parameter `name_id`."""
_NEW_VERSION = insert(_VERSIONS).returning(_VERSIONS.c.id)
_NEXT = update(_NAMES).where(_NAMES.c.id == bindparam("name_id")).values(next_version=bindparam("following"))
_OUTDATE = update(_VERSIONS).where(OF_NAME, _VERSIONS.c.newest).values(newest=False).returning(_VERSIONS.c.id)
_SUMMARY = insert(table_of(SummaryRow))
_PARTS: dict[type[Base], Insert] = {
    row: insert(table_of(row))
    for row in (VersionBlobRow, VersionSiteRow, AuthorRow, LabelRow, PresetRow, RecipeTermRow, LineageRow)
}


class Name(NamedTuple):
    """The row of a name, which is locked."""

    id: int
    namespace_id: int
    kind: str
    next_version: int


def insert_version(connection: Connection, name: Name, draft: Draft, pinned: list[int], parents: list[int]) -> Version:
    """Add the version and everything that belongs to it.

    Args:
        connection: in a transaction that holds the name's lock.
        name: whose version it is.
        draft: what it is.
        pinned: the rows of the versions that it pins.
        parents: the rows of the versions that it was made from.
    """
    number = draft.number or name.next_version
    version = _version(draft, number)
    last = number >= name.next_version  # no version of the name, yanked or not, has a higher number
    if last:
        _outdate(connection, name)
        connection.execute(_NEXT, {"name_id": name.id, "following": number + 1})
    own = _own_row(name, draft, version, newest=last)
    version_id: int = connection.execute(_NEW_VERSION, own).scalar_one()
    _add_parts(connection, version_id, draft, pinned, parents)
    connection.execute(_SUMMARY, {"version_id": version_id, "summary": to_text(version)})
    if last:
        catalogue.make_findable(connection, version_id, version, known=False)
    else:
        appoint(connection, name.id)
    return version


def _outdate(connection: Connection, name: Name) -> None:
    """Let the version that was the name's newest be it no more."""
    if name.next_version == 1:  # it never had any
        return
    before = connection.execute(_OUTDATE, {"name_id": name.id}).scalar()
    if before is not None:
        search.forget(connection, before)


def _version(draft: Draft, number: int) -> Version:
    """Return the version as it will be read: what is made here and what its rows say are the same."""
    about, card = draft.about, draft.card
    presets = {name: preset_values(name, preset) for name, preset in sorted(about.presets.items())}
    return Version(
        namespace=draft.namespace,
        name=draft.name,
        number=number,
        digest=draft.manifest.digest,
        kind=draft.manifest.kind,
        blobs=tuple(draft.manifest.blobs),
        created_at=datetime.now(UTC),
        model=None if card is None else card.model,
        method=None if card is None else card.method.name,
        directions=MappingProxyType(dict(sorted(draft.directions.items(), key=lambda item: item[0].order))),
        labels=MappingProxyType(dict(sorted(about.labels.items()))),
        aliases=(),
        presets=MappingProxyType({name: read_preset(*list(row.values())[1:]) for name, row in presets.items()}),
        description=about.description,
        license=about.license,
        authors=tuple(about.authors),
        yanked=False,
    )


def _own_row(name: Name, draft: Draft, version: Version, *, newest: bool) -> Values:
    return {
        "namespace_id": name.namespace_id,
        "artifact_id": name.id,
        "full_name": version.full_name,
        "number": version.number,
        "digest": version.digest,
        "created_at": version.created_at,
        "newest": newest,
        "description": version.description,
        "license": version.license,
        **model_values(draft.card),
    }


def _add_parts(
    connection: Connection, version_id: int, draft: Draft, pinned: Iterable[int], parents: Iterable[int]
) -> None:
    """Add the rows that belong to a version; a statement for each kind that it has."""
    about = draft.about
    parts: dict[type[Base], list[dict[str, Any]]] = {
        VersionBlobRow: [{"position": n, **blob._asdict()} for n, blob in enumerate(draft.manifest.blobs)],
        VersionSiteRow: [site_values(place, direction) for place, direction in draft.directions.items()],
        AuthorRow: [{"position": n, "author": author} for n, author in enumerate(about.authors)],
        LabelRow: [{"key": key, "value": value} for key, value in about.labels.items()],
        PresetRow: [preset_values(name, preset) for name, preset in about.presets.items()],
        RecipeTermRow: [{"position": n, "pinned_id": other} for n, other in enumerate(pinned)],
        LineageRow: [{"position": n, "parent_id": other} for n, other in enumerate(parents)],
    }
    for row, values in parts.items():
        if values:
            connection.execute(_PARTS[row], [{"version_id": version_id, **each} for each in values])

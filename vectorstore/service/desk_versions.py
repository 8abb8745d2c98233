"""Versions as the service shows them: everything about one, and an ETag that changes with any of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, select
from starlette.responses import JSONResponse, Response

from vectorstore.accounts.access import visible
from vectorstore.canonical import Json, canonical_bytes, digest
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.reference import Reference, parse_reference
from vectorstore.service.guard import Desk
from vectorstore.service.paths import NameParts, Narrowing
from vectorstore.service.problems import PreconditionError
from vectorstore.store.schema import LineageRow, NamespaceRow, RecipeTermRow, VersionRow, table_of
from vectorstore.store.version import Page, Version

_VERSIONS = table_of(VersionRow)


def _made_of(row: type[RecipeTermRow | LineageRow], other: str) -> Select[Any]:
    link = table_of(row)
    mine = (_VERSIONS.c[name] == bindparam(name) for name in ("full_name", "number", "digest"))
    return (
        select(link.c[other])
        .join_from(_VERSIONS, link, link.c.version_id == _VERSIONS.c.id)
        .where(*mine)
        .order_by(link.c.position)
    )


_MADE_OF = {RecipeTermRow: _made_of(RecipeTermRow, "pinned_id"), LineageRow: _made_of(LineageRow, "parent_id")}
KINDS = {"vectors": "vector", "recipes": "recipe"}


def reference(path: NameParts, which: str | None = None) -> Reference:
    """Return the reference of a path's name, and version if it has one."""
    return parse_reference(f"{path.namespace}/{path.name}{f'@{which}' if which else ''}")


def find(desk: Desk, path: NameParts, which: str | None = None) -> Version:
    """Return the version of a path.

    Raises:
        NotFoundError: when there is none, or the name is of the other kind.
    """
    version = desk.store.resolve(reference(path, which))
    require_kind(version, path.kind)
    return version


def require_kind(version: Version, kind: str) -> None:
    """Check that a version is of the kind that the path says.

    Raises:
        NotFoundError: when it is of the other one.
    """
    if version.kind != KINDS[kind]:
        raise NotFoundError(f"{version.full_name} is a {version.kind}", f"look under /{version.kind}s/")


def document(version: Version) -> Json:
    """Return all that a version says of itself."""
    return version.to_json()


def state(version: Version) -> str:
    """Return the ETag of what is now said about a version."""
    return _etag(document(version))


def _etag(said: Json) -> str:
    return f'"{digest(canonical_bytes(said))[7:39]}"'


def shown(desk: Desk, version: Version, status: int = 200, *, alone: bool = False) -> JSONResponse:
    """Return the answer that shows a version, with what it pins and was made from; nothing, where it is `alone`."""
    links: Mapping[str, type[RecipeTermRow | LineageRow]] = {"pins": RecipeTermRow, "parents": LineageRow}
    related = {name: [] if alone else _related(desk, version, row) for name, row in links.items()}
    said = document(version)
    headers = {"ETag": _etag(said), "Cache-Control": "private, no-cache"}
    return JSONResponse({**said, **related}, status, headers)


def newest(desk: Desk, namespace: str, wanted: Narrowing, kind: str | None = None) -> JSONResponse:
    """Return the answer that lists the newest version of each name: of one kind, or of all."""
    narrowed = vars(wanted) | {"labels": dict(map(_label, wanted.label or ()))}
    del narrowed["label"]
    return page(desk.store.list(namespace, kind=kind, **narrowed))


def page(found: Page) -> JSONResponse:
    """Return the answer that shows a page of versions."""
    return JSONResponse({"versions": [document(version) for version in found], "cursor": found.cursor})


def unchanged(etag: str, if_none_match: str | None) -> Response | None:
    """Return the answer 304 where the caller has this already."""
    if if_none_match is None or not (if_none_match.strip() == "*" or etag in _tags(if_none_match)):
        return None
    return Response(status_code=304, headers={"ETag": etag})


def require_match(etag: str, if_match: str | None) -> None:
    """Check that a thing is as the caller saw it.

    Raises:
        PreconditionError: when it is not.
    """
    if if_match is not None and if_match.strip() != "*" and etag not in _tags(if_match):
        raise PreconditionError("it was changed since you looked at it", "get it again, and send its new ETag")


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidInputError(f"the label '{text[:60]}' has no value", "write key=value")
    return key, value


def _related(desk: Desk, version: Version, row: type[RecipeTermRow | LineageRow]) -> list[Json]:
    """Return the versions that this one pins, or was made from, in order."""
    if version.kind != "recipe" and row is RecipeTermRow:
        return []
    own = {"full_name": version.full_name, "number": version.number, "digest": version.digest}
    with desk.store.database.look() as connection:
        ids = connection.execute(_MADE_OF[row], own).scalars().all()
        if not ids:
            return []
        query = (
            select(VersionRow.id, VersionRow.full_name, VersionRow.number, VersionRow.digest)
            .join(NamespaceRow, NamespaceRow.id == VersionRow.namespace_id)
            .where(VersionRow.id.in_(ids), visible(desk.caller))
        )
        found = {each.id: each for each in connection.execute(query).all()}
    return [_named(found[each]) for each in ids if each in found]


def _named(row: Any) -> Json:  # noqa: ANN401 - a Row
    namespace, _, name = row.full_name.partition("/")
    return {"namespace": namespace, "name": name, "number": row.number, "digest": row.digest}

"""Versions as the service shows them: everything about one, and an ETag that changes with any of it."""

from __future__ import annotations

from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from vectorstore.accounts.access import visible
from vectorstore.canonical import Json, canonical_bytes, digest
from vectorstore.errors import NotFoundError
from vectorstore.reference import Reference, parse_reference
from vectorstore.service.guard import Desk
from vectorstore.service.problems import PreconditionError
from vectorstore.service.shapes import NameParts
from vectorstore.store.schema import LineageRow, NamespaceRow, RecipeTermRow, VersionRow
from vectorstore.store.version import Page, Version

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
    return f'"{digest(canonical_bytes(document(version)))[7:39]}"'


def shown(desk: Desk, version: Version, status: int = 200) -> JSONResponse:
    """Return the answer that shows a version, with what it pins and was made from."""
    related = {name: _related(desk, version, row) for name, row in (("pins", RecipeTermRow), ("parents", LineageRow))}
    headers = {"ETag": state(version), "Cache-Control": "private, no-cache"}
    return JSONResponse({**document(version), **related}, status, headers)


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


def _related(desk: Desk, version: Version, row: type[RecipeTermRow | LineageRow]) -> list[Json]:
    """Return the versions that this one pins, or was made from, in order."""
    target = row.pinned_id if row is RecipeTermRow else row.parent_id  # type: ignore[union-attr]
    if version.kind != "recipe" and row is RecipeTermRow:
        return []
    mine = select(VersionRow.id).where(VersionRow.full_name == version.full_name, VersionRow.number == version.number)
    query = (
        select(VersionRow.full_name, VersionRow.number, VersionRow.digest)
        .join(row, target == VersionRow.id)
        .join(NamespaceRow, NamespaceRow.id == VersionRow.namespace_id)
        .where(row.version_id == mine.scalar_subquery(), visible(desk.caller))
        .order_by(row.position)
    )
    with desk.store.database.read() as session:
        found = session.execute(query).all()
    return [
        {"namespace": full.partition("/")[0], "name": full.partition("/")[2], "number": number, "digest": name}
        for full, number, name in found
    ]

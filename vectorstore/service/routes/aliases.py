"""Aliases: movable names of versions."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import review
from vectorstore.canonical import Json
from vectorstore.errors import NotFoundError
from vectorstore.service import desk_versions as versions
from vectorstore.service.guard import Desk, Reading, Writing
from vectorstore.service.paths import AliasParts, AliasPath, IfMatch, IfNoneMatch, NameParts, NamePath
from vectorstore.service.problems import PreconditionError, documented
from vectorstore.service.shapes import AliasesOut, AliasIn, AliasOut
from vectorstore.service.team_shapes import ProposalOut
from vectorstore.store import changes
from vectorstore.store.schema import AliasRow, ArtifactRow, VersionRow
from vectorstore.store.version import Version

router = APIRouter(prefix="/v1/{namespace}/{kind}/{name}/aliases", tags=["aliases"])


@router.get("", responses={200: {"model": AliasesOut}, **documented(403)}, response_class=JSONResponse)
def list_aliases(desk: Reading, path: NamePath) -> Response:
    """List the aliases of a name."""
    return JSONResponse({"aliases": _aliases(desk, path)})


@router.get(
    "/{alias}",
    responses={200: {"model": AliasOut}, 304: {"description": "Not changed"}, **documented(403)},
    response_class=JSONResponse,
)
def show(desk: Reading, path: AliasPath, if_none_match: IfNoneMatch = None) -> Response:
    """Show which version an alias means; its ETag is that version's digest."""
    for found in _aliases(desk, path):
        if found["alias"] == path.alias:
            etag = f'"{found["digest"]}"'
            return versions.unchanged(etag, if_none_match) or JSONResponse(found, headers={"ETag": etag})
    raise NotFoundError(f"{path.namespace}/{path.name} has no alias '{path.alias}'", "see its aliases")


@router.put(
    "/{alias}",
    responses={200: {"model": AliasOut}, 202: {"model": ProposalOut}, **documented(403, 409, 412)},
    response_class=JSONResponse,
)
def put(
    desk: Writing, path: AliasPath, wanted: AliasIn, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Let an alias mean a version; it moves if it meant another."""

    def expect(version: Version) -> None:
        versions.require_kind(version, path.kind)

    if (waiting := _proposed(desk, path, wanted)) is not None:
        return waiting
    free = partial(review.require_free, alias=path.alias, right=desk.right)
    move = partial(changes.set_alias, alias=path.alias, expect=partial(_expect, if_match, if_none_match))
    version = desk.store.change(versions.reference(path, wanted.version), free, move, expect=expect)
    shown = {"alias": path.alias, "number": version.number, "digest": version.digest}
    return JSONResponse(shown, headers={"ETag": f'"{version.digest}"'})


@router.delete(
    "/{alias}",
    status_code=204,
    responses={202: {"model": ProposalOut}, **documented(403, 409, 412)},
    response_class=Response,
)
def remove(desk: Writing, path: AliasPath, if_match: IfMatch = None) -> Response:
    """Remove an alias."""

    def expect(version: Version) -> None:
        versions.require_kind(version, path.kind)
        _expect(if_match, None, version.digest)

    if (waiting := _proposed(desk, path, None)) is not None:
        return waiting
    free = partial(review.require_free, alias=path.alias, right=desk.right)
    gone = partial(changes.remove_alias, alias=path.alias)
    desk.store.change(versions.reference(path, path.alias), free, gone, expect=expect)
    return Response(status_code=204)


def _proposed(desk: Desk, path: AliasParts, wanted: AliasIn | None) -> Response | None:
    """Propose what has to wait for somebody else's approval, and say so; None where it need not wait."""
    with desk.store.database.read() as session:
        if not review.needs_approval(session, desk.namespace_id, path.alias, desk.right):
            return None
    number, reason = None, ""
    if wanted is not None:
        version = versions.find(desk, path, wanted.version)
        number, reason = version.number, wanted.reason
    made = review.propose(desk.store, desk.namespace_id, path.name, path.alias, number, by=desk.caller, reason=reason)
    return JSONResponse(made.to_json(), 202)


def _expect(if_match: str | None, if_none_match: str | None, digest: str | None) -> None:
    """Check that an alias means, or does not mean, what the caller thinks; `digest` is None where there is none."""
    if if_none_match is not None and digest is not None and versions.unchanged(f'"{digest}"', if_none_match):
        raise PreconditionError("the alias is there already", "get it, and send its ETag as If-Match")
    if if_match is not None and digest is None:
        raise PreconditionError("there is no such alias any more", "get the aliases again")
    if digest is not None:
        versions.require_match(f'"{digest}"', if_match)


def _aliases(desk: Desk, path: NameParts) -> list[Json]:
    full_name = f"{path.namespace}/{path.name}"
    query = (
        select(AliasRow.alias, VersionRow.number, VersionRow.digest)
        .join(VersionRow, VersionRow.id == AliasRow.version_id)
        .where(VersionRow.full_name == full_name)
        .order_by(AliasRow.alias)
    )
    of_name = select(ArtifactRow.kind).where(
        ArtifactRow.namespace_id == desk.namespace_id, ArtifactRow.name == path.name
    )
    with desk.store.database.look() as connection:
        if connection.scalar(of_name) != versions.KINDS[path.kind]:
            raise NotFoundError(
                f"there is no {versions.KINDS[path.kind]} '{full_name}'", "see the list of the namespace"
            )
        return [
            {"alias": alias, "number": number, "digest": digest} for alias, number, digest in connection.execute(query)
        ]

"""Versions: lists, one version, its manifest, and saving a new one by its manifest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from vectorstore.manifest import MANIFEST_TYPE, MAX_MANIFEST
from vectorstore.service import desk_versions as versions
from vectorstore.service.edge import declared_size
from vectorstore.service.guard import Door, Reading, WritingLater
from vectorstore.service.paths import (
    DEFAULT_LIMIT,
    After,
    Digest,
    IfNoneMatch,
    Kind,
    Limit,
    NameParts,
    NamePath,
    Namespace,
    Narrowed,
    VersionPath,
)
from vectorstore.service.problems import TooLargeError, documented
from vectorstore.service.publish import publish
from vectorstore.service.shapes import PageOut, VersionOut

SMALL = 64 << 10  # bytes of a body that is read before it is known whose it is
router = APIRouter(prefix="/v1/{namespace}/{kind}", tags=["versions"])


@router.get("", responses={200: {"model": PageOut}, **documented(403)}, response_class=JSONResponse)
def list_versions(desk: Reading, namespace: Namespace, kind: Kind, wanted: Narrowed) -> Response:
    """List the newest version of each name that is not yanked."""
    return versions.newest(desk, namespace, wanted, versions.KINDS[kind])


@router.get("/{name}", responses={200: {"model": VersionOut}, **documented(403)}, response_class=JSONResponse)
def newest(desk: Reading, path: NamePath) -> Response:
    """Show the newest version of a name that is not yanked."""
    return versions.shown(desk, versions.find(desk, path))


@router.get("/{name}/versions", responses={200: {"model": PageOut}, **documented(403)}, response_class=JSONResponse)
def history(desk: Reading, path: NamePath, limit: Limit = DEFAULT_LIMIT, after: After = None) -> Response:
    """List all versions of a name, newest first, yanked ones too."""
    found = desk.store.history(f"{path.namespace}/{path.name}", limit=limit, after=after)
    for version in found.versions[:1]:
        versions.require_kind(version, path.kind)
    return versions.page(found)


@router.get(
    "/{name}/versions/{which}",
    responses={200: {"model": VersionOut}, 304: {"description": "Not changed"}, **documented(403, 409)},
    response_class=JSONResponse,
)
def show(desk: Reading, path: VersionPath, if_none_match: IfNoneMatch = None) -> Response:
    """Show one version; its ETag changes with anything that is said about it."""
    version = versions.find(desk, path, path.which)
    return versions.unchanged(versions.state(version), if_none_match) or versions.shown(desk, version)


@router.get(
    "/{name}/versions/{which}/manifest",
    responses={
        200: {"content": {MANIFEST_TYPE: {}}},
        304: {"description": "Not changed"},
        **documented(403, 409),
    },
    response_class=Response,
)
def manifest(desk: Reading, path: VersionPath, if_none_match: IfNoneMatch = None) -> Response:
    """Return the manifest, whose digest is the version's identity."""
    version = versions.find(desk, path, path.which)
    etag = f'"{version.digest}"'
    if same := versions.unchanged(etag, if_none_match):
        return same
    data = desk.store.read_manifest(version)
    kept = "private, max-age=31536000, immutable" if path.which == version.digest else "private, no-cache"
    headers = {"ETag": etag, "Cache-Control": kept}
    return Response(data, media_type=MANIFEST_TYPE, headers=headers)


@router.put(
    "/{name}/versions/{digest}",
    status_code=201,
    responses={
        201: {"model": VersionOut},
        200: {"model": VersionOut, "description": "It is there already"},
        **documented(403, 409),
    },
    openapi_extra={"requestBody": {"required": True, "content": {MANIFEST_TYPE: {}}}},
    response_class=JSONResponse,
)
async def save(
    request: Request,
    door: WritingLater,
    path: NamePath,
    digest: Digest,
    manifest_size: Annotated[
        int | None, Header(ge=1, le=MAX_MANIFEST, description="Where the manifest ends and the blobs begin.")
    ] = None,
) -> Response:
    """Save a version: its body is the manifest, whose blobs this namespace has or was sent before.

    Small blobs may follow the manifest in the same body, one after another in its order; `Manifest-Size` says where.
    """
    size = declared_size(request.headers)
    if size is None or size > SMALL:  # nobody sends much before it is known who they are
        await run_in_threadpool(door.open)
    data = await _body(request, request.app.state.options.max_document)
    return await run_in_threadpool(_published, door, path, digest, data, manifest_size)


def _published(door: Door, path: NameParts, digest: str, data: bytes, manifest_size: int | None) -> Response:
    desk = door.open()
    saved, made_of = publish(desk, path, digest, data, manifest_size)
    return versions.shown(desk, saved.version, 201 if saved.created else 200, alone=not made_of)


async def _body(request: Request, limit: int) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise TooLargeError(f"the manifest is larger than {limit} bytes", "no manifest is")
    return bytes(data)

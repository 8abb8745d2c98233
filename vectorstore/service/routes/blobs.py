"""Blobs: bytes by digest, for those who may see a version that has them; and sending them, whole or in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Header, Path, Request
from starlette.responses import JSONResponse, Response

from vectorstore.canonical import Json
from vectorstore.errors import NotAllowedError
from vectorstore.service.blob_answer import blob_size, send_blob
from vectorstore.service.edge import declared_size
from vectorstore.service.guard import Desk, Reading, Writing
from vectorstore.service.paths import Digest, Namespace
from vectorstore.service.problems import TooLargeError, TooManyError, documented
from vectorstore.service.quota import require_room_to_send, room_to_send
from vectorstore.service.shapes import AbsentOut, BlobOut, DigestsIn, UploadIn, UploadOut
from vectorstore.store import uploads

router = APIRouter(prefix="/v1/{namespace}", tags=["blobs"])
_BYTES: dict[str, Any] = {"content": {"application/octet-stream": {}}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": {}}}}
_ETAG: dict[int | str, dict[str, Any]] = {304: {"description": "Not changed"}, 416: {"description": "No such range"}}
Upload = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="An upload.")]
Taken = TypeVar("Taken")
SMALL = (
    1 << 16
)  # bytes of a body that waits in memory for its thread: handing over pieces takes longer than most vectors


@router.get(
    "/blobs/{digest}", responses={200: _BYTES, 206: _BYTES, **_ETAG, **documented(403)}, response_class=Response
)
@router.head("/blobs/{digest}", responses={200: _BYTES, **_ETAG, **documented(403)}, response_class=Response)
def download(
    request: Request,
    desk: Reading,
    namespace: Namespace,
    digest: Digest,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return bytes that a version of this namespace has; they never change."""
    return send_blob(desk, digest, blob_size(desk, digest), if_none_match, head=request.method == "HEAD")


@router.put(
    "/blobs/{digest}",
    status_code=201,
    responses={201: {"model": BlobOut}, **documented(403, 409)},
    openapi_extra=_BODY,
    response_class=JSONResponse,
)
async def put(request: Request, desk: Writing, namespace: Namespace, digest: Digest) -> Response:
    """Send bytes in one piece; a version that has them must be saved before they expire."""
    size = await _with_body(request, desk, partial(_accept, desk, digest, declared_size(request.headers) or 0))
    return JSONResponse({"digest": digest, "size": size}, 201)


def _accept(desk: Desk, digest: str, declared: int, body: Iterable[bytes]) -> int:
    require_room_to_send(desk, digest, declared)
    keep, guard = desk.options.upload_time, room_to_send(desk)
    return uploads.accept(desk.store, desk.namespace_id, _user(desk), digest, body, keep=keep, guard=guard)


@router.post("/absent", responses={200: {"model": AbsentOut}, **documented(403)}, response_class=JSONResponse)
def absent(desk: Writing, namespace: Namespace, wanted: DigestsIn) -> Response:
    """Say which bytes have to be sent: nobody needs to send what the namespace has."""
    with desk.store.database.look() as connection:
        return JSONResponse({"absent": uploads.missing(connection, desk.namespace_id, wanted.digests)})


@router.post(
    "/uploads",
    status_code=201,
    responses={201: {"model": UploadOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
def begin(desk: Writing, namespace: Namespace, wanted: UploadIn) -> Response:
    """Begin to send bytes in parts."""
    if wanted.size > desk.options.max_blob:
        raise TooLargeError(f"a blob of {wanted.size} bytes", f"{desk.options.max_blob} are taken at most")
    keep, guard = desk.options.upload_time, room_to_send(desk)
    row = uploads.begin(desk.store, desk.namespace_id, _user(desk), wanted.digest, wanted.size, keep=keep, guard=guard)
    return JSONResponse(_shown(row), 201, {"Location": f"/v1/{namespace}/uploads/{row.id}"})


@router.get("/uploads/{upload}", responses={200: {"model": UploadOut}, **documented(403)}, response_class=JSONResponse)
def progress(desk: Writing, namespace: Namespace, upload: Upload) -> Response:
    """Say how far an upload is: where to go on after a cut."""
    return JSONResponse(_shown(uploads.find(desk.store, desk.namespace_id, upload)))


@router.patch(
    "/uploads/{upload}",
    responses={200: {"model": UploadOut}, **documented(403, 409)},
    openapi_extra=_BODY,
    response_class=JSONResponse,
)
async def append(
    request: Request,
    desk: Writing,
    namespace: Namespace,
    upload: Upload,
    upload_offset: Annotated[int, Header(ge=0, le=1 << 40, description="Where the part begins.")],
) -> Response:
    """Send a part; it begins where the parts before it end."""
    take = partial(uploads.append, desk.store, desk.namespace_id, upload, upload_offset)
    return JSONResponse(_shown(await _with_body(request, desk, take)))


@router.post(
    "/uploads/{upload}/finish",
    responses={200: {"model": UploadOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
async def finish(request: Request, desk: Writing, namespace: Namespace, upload: Upload) -> Response:
    """Join the parts; from now on a version may have the bytes."""
    # It reads all of them, so it is not one of the threads that all other requests share.
    join = partial(uploads.finish, desk.store, desk.namespace_id, upload)
    return JSONResponse(_shown(await anyio.to_thread.run_sync(join, limiter=request.app.state.joins)))


@router.delete("/uploads/{upload}", status_code=204, responses=documented(403, 409), response_class=Response)
def cancel(desk: Writing, namespace: Namespace, upload: Upload) -> Response:
    """Forget an upload."""
    uploads.cancel(desk.store, desk.namespace_id, upload)
    return Response(status_code=204)


async def _with_body(request: Request, desk: Desk, take: Callable[[Iterable[bytes]], Taken]) -> Taken:
    """Run `take` in a thread, and hand it the body: a small one whole, and others piece by piece.

    It waits for its sender, so it is not one of the threads that all other requests share.
    """
    state, user = request.app.state, _user(desk)
    if state.senders[user] >= state.options.uploads_of_one:
        raise TooManyError(f"{state.senders[user]} bodies are being received from you", "send fewer at once")
    state.senders[user] += 1
    try:
        declared = declared_size(request.headers)
        body = [await request.body()] if declared is not None and declared <= SMALL else _pieces(request)
        return await anyio.to_thread.run_sync(take, body, limiter=state.bodies)
    finally:
        state.senders[user] -= 1


def _pieces(request: Request) -> Iterator[bytes]:
    """Yield the body, in a thread; the event loop receives it."""
    stream = request.stream()

    async def piece() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(piece)) is not None:
        if chunk:
            yield chunk


def _user(desk: Desk) -> int:
    if desk.caller.user_id is None:
        raise NotAllowedError("nobody is signed in", "sign in: steer login URL")
    return desk.caller.user_id


def _shown(row: uploads.Upload) -> Json:
    names = ("id", "digest", "size", "received", "finished")
    return {name: getattr(row, name) for name in names} | {"expires_at": row.expires_at.isoformat()}

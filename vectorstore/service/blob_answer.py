"""Blob answers: bytes sent from where they lie, or a redirect to where a faster server has them."""

from __future__ import annotations

from sqlalchemy import select
from starlette.responses import FileResponse, RedirectResponse, Response

from vectorstore.errors import IntegrityError, NotFoundError
from vectorstore.service.desk_versions import unchanged
from vectorstore.service.guard import Desk
from vectorstore.service.problems import DamagedStoreError
from vectorstore.store.schema import BlobRow, VersionBlobRow, VersionRow

PIECE = 1 << 18  # bytes of a download in memory; each piece costs a hand-over between threads


def blob_size(desk: Desk, digest: str) -> int:
    """Return the size of a blob that a version of the namespace has.

    Raises:
        NotFoundError: when none has it: also when it is there, in a namespace that is not asked for.
    """
    mine = VersionRow.namespace_id == desk.namespace_id
    part = select(VersionBlobRow.size).join(VersionRow, VersionRow.id == VersionBlobRow.version_id)
    manifest = select(BlobRow.size).join(VersionRow, VersionRow.digest == BlobRow.digest)
    with desk.store.database.look() as connection:
        size = connection.scalar(part.where(mine, VersionBlobRow.digest == digest).limit(1))
        if size is None:
            size = connection.scalar(manifest.where(mine, BlobRow.digest == digest).limit(1))
    if size is None:
        raise NotFoundError(f"no version of {desk.namespace} has a blob {digest}", "see the blobs of its versions")
    return int(size)


def send_blob(desk: Desk, digest: str, size: int, if_none_match: str | None, *, head: bool = False) -> Response:
    """Return the answer that sends a blob: in constant memory, in ranges if they are asked for.

    Raises:
        DamagedStoreError: when the bytes are missing, or not what they were.
    """
    etag = f'"{digest}"'
    if same := unchanged(etag, if_none_match):
        return same
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    options, blobs = desk.options, desk.store.blobs
    if options.presign and not head and (url := blobs.link(digest, options.presign)) is not None:
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    try:
        path = blobs.file(digest, size)
    except IntegrityError as error:
        raise DamagedStoreError(error.problem, "tell whoever runs the service") from error
    media_type = "application/octet-stream"
    if options.accel:
        headers["X-Accel-Redirect"] = f"{options.accel.rstrip('/')}/sha256/{path.parent.name}/{path.name}"
        return Response(headers=headers, media_type=media_type)
    answer = FileResponse(path, headers=headers, media_type=media_type, stat_result=path.stat())
    answer.chunk_size = PIECE
    return answer

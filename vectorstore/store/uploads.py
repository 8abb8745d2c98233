"""Uploads: bytes that a namespace was sent before any version has them, in one piece or in parts.

They follow the commit protocol: a row with a lease before a file has its name. So a crash leaves nothing that `gc`
does not find, and what was acknowledged stays until the upload expires.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, union_all
from sqlalchemy.orm import Session

from vectorstore.canonical import is_digest
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vectorstore.store.save import lease
from vectorstore.store.schema import VersionBlobRow, VersionRow
from vectorstore.store.store import Store
from vectorstore.store.team_schema import UploadRow


def accept(  # noqa: PLR0913 - whose bytes, which, and how long
    store: Store, namespace_id: int, user_id: int, digest: str, data: Iterable[bytes], *, keep: timedelta
) -> int:
    """Take the bytes of `digest` in one piece, and return how many they are.

    Raises:
        IntegrityError: when they have another digest.
        UnavailableError: when database or disk cannot take them.
    """
    _check_digest(digest)
    row = UploadRow(
        id=secrets.token_hex(16),
        namespace_id=namespace_id,
        user_id=user_id,
        digest=digest,
        finished=True,
        expires_at=datetime.now(UTC) + keep,
    )
    return _publish(store, row, data)


def begin(  # noqa: PLR0913 - as above
    store: Store, namespace_id: int, user_id: int, digest: str, size: int, *, keep: timedelta
) -> UploadRow:
    """Begin an upload in parts."""
    _check_digest(digest)
    row = UploadRow(
        id=secrets.token_hex(16),
        namespace_id=namespace_id,
        user_id=user_id,
        digest=digest,
        size=size,
        received=0,
        finished=False,
        expires_at=datetime.now(UTC) + keep,
    )
    with store.database.write() as session:
        session.add(row)
    return row


def find(store: Store, namespace_id: int, upload_id: str) -> UploadRow:
    """Return an upload of a namespace.

    Raises:
        NotFoundError: when there is none, or it has expired.
    """
    with store.database.read() as session:
        return _find(session, namespace_id, upload_id)


def append(store: Store, namespace_id: int, upload_id: str, offset: int, data: Iterable[bytes]) -> UploadRow:
    """Add a part at `offset`, where the parts before it end. Who sends a part again sends it where it was.

    Raises:
        ConflictError: when the parts end elsewhere; says where.
        InvalidInputError: for more bytes than were announced.
    """
    row = find(store, namespace_id, upload_id)
    _require_offset(row, offset)
    length = store.blobs.put_part(row.id, offset, _at_most(data, row.size - offset))
    with store.database.write() as session:
        present = _find(session, namespace_id, upload_id, lock=True)
        _require_offset(present, offset)
        present.received = offset + length
        return present


def finish(store: Store, namespace_id: int, upload_id: str) -> UploadRow:
    """Join the parts to the blob that was announced.

    Raises:
        ConflictError: when parts are missing.
        IntegrityError: when they are not the bytes that were announced; the upload is over.
    """
    row = find(store, namespace_id, upload_id)
    if row.finished:
        return row
    if row.received != row.size:
        raise ConflictError(f"{row.received} of {row.size} bytes were received", "send the rest")
    try:
        _publish(store, row, store.blobs.parts(row.id))
    except IntegrityError:
        cancel(store, namespace_id, upload_id)
        raise
    store.blobs.drop_parts(row.id)
    return find(store, namespace_id, upload_id)


def cancel(store: Store, namespace_id: int, upload_id: str) -> None:
    """Forget an upload and its parts."""
    row = find(store, namespace_id, upload_id)
    with store.database.write() as session:
        session.execute(delete(UploadRow).where(UploadRow.id == row.id))
    store.blobs.drop_parts(row.id)


def missing(session: Session, namespace_id: int, digests: Sequence[str]) -> list[str]:
    """Return those that the namespace may not use: no version of it has them, and it was not sent them."""
    mine = VersionRow.namespace_id == namespace_id
    of_versions = select(VersionBlobRow.digest).join(VersionRow, VersionRow.id == VersionBlobRow.version_id)
    sent = select(UploadRow.digest).where(
        UploadRow.namespace_id == namespace_id, UploadRow.finished, UploadRow.expires_at > datetime.now(UTC)
    )
    known = union_all(
        of_versions.where(mine, VersionBlobRow.digest.in_(digests)), sent.where(UploadRow.digest.in_(digests))
    )
    found = set(session.scalars(known))
    return [digest for digest in digests if digest not in found]


def _publish(store: Store, row: UploadRow, data: Iterable[bytes]) -> int:
    """Give bytes the name of their digest, after a row that keeps them, and note the upload as finished."""
    staged = store.blobs.stage(data)
    try:
        if staged.digest != row.digest:
            raise IntegrityError(f"the bytes have the digest {staged.digest}, not {row.digest}", "send them again")
        with store.database.write() as session:
            lease(session, [staged], row.expires_at)
        staged.publish()
        with store.database.write() as session:
            row.size = row.received = staged.size
            row.finished = True
            session.merge(row)
        return staged.size
    finally:
        staged.discard()


def _find(session: Session, namespace_id: int, upload_id: str, *, lock: bool = False) -> UploadRow:
    mine = select(UploadRow).where(UploadRow.id == upload_id, UploadRow.namespace_id == namespace_id)
    row = session.scalar(mine.where(UploadRow.expires_at > datetime.now(UTC)).with_for_update() if lock else mine)
    if row is None or row.expires_at <= datetime.now(UTC):
        raise NotFoundError("there is no such upload", "begin another one")
    return row


def _require_offset(row: UploadRow, offset: int) -> None:
    if row.finished or offset != row.received:
        raise ConflictError(f"the upload has {row.received} bytes, and the part begins at {offset}", "go on from there")


def _at_most(data: Iterable[bytes], most: int) -> Iterator[bytes]:
    for chunk in data:
        most -= len(chunk)
        if most < 0:
            raise InvalidInputError("the part goes beyond the size that was announced", "begin another upload")
        yield chunk


def _check_digest(digest: str) -> None:
    if not is_digest(digest):
        raise InvalidInputError(f"'{digest[:80]}' is not a digest", "digests are sha256: and 64 hex digits")

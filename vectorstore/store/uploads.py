"""Uploads: bytes that a namespace was sent before any version has them, in one piece or in parts.

They follow the commit protocol: a row with a lease before a file has its name. So a crash leaves nothing that `gc`
does not find, and what was acknowledged stays until the upload expires.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, insert, select, union_all
from sqlalchemy.orm import Session

from vectorstore.canonical import is_digest
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vectorstore.store.blobs.protocol import Staged
from vectorstore.store.save import lease
from vectorstore.store.schema import VersionBlobRow, VersionRow, table_of
from vectorstore.store.store import Store
from vectorstore.store.team_schema import UploadRow

_UPLOADS, _VERSIONS, _BLOBS = table_of(UploadRow), table_of(VersionRow), table_of(VersionBlobRow)
_ADD = insert(_UPLOADS)
_KNOWN = union_all(  # made once: every version that is saved asks this
    select(_BLOBS.c.digest)
    .join_from(_BLOBS, _VERSIONS, _VERSIONS.c.id == _BLOBS.c.version_id)
    .where(
        _VERSIONS.c.namespace_id == bindparam("namespace"), _BLOBS.c.digest.in_(bindparam("digests", expanding=True))
    ),
    select(_UPLOADS.c.digest).where(
        _UPLOADS.c.namespace_id == bindparam("namespace"),
        _UPLOADS.c.finished,
        _UPLOADS.c.expires_at > bindparam("now"),
        _UPLOADS.c.digest.in_(bindparam("digests", expanding=True)),
    ),
)


@dataclass(frozen=True)
class Upload:
    """How far an upload is.

    Attributes:
        id: its name.
        namespace_id, user_id: where, and whose.
        digest, size: of the bytes that were announced.
        received: so many came.
        finished: whether a version may have them.
        expires_at: until when they are kept.
    """

    id: str
    namespace_id: int
    user_id: int
    digest: str
    size: int
    received: int
    finished: bool
    expires_at: datetime


Guard = Callable[[Connection, Upload], None]
"""Asked in the transaction that notes an upload, and raises if it shall not."""


def accept(  # noqa: PLR0913 - whose bytes, which, and how long
    store: Store,
    namespace_id: int,
    user_id: int,
    digest: str,
    data: Iterable[bytes],
    *,
    keep: timedelta,
    guard: Guard | None = None,
) -> int:
    """Take the bytes of `digest` in one piece, and return how many they are.

    Raises:
        VectorstoreError: whatever `guard` raises.
        IntegrityError: when they have another digest.
        UnavailableError: when database or disk cannot take them.
    """
    _check_digest(digest)
    expires_at = datetime.now(UTC) + keep
    upload = Upload(secrets.token_hex(16), namespace_id, user_id, digest, 0, 0, finished=False, expires_at=expires_at)
    staged = _staged(store, upload, data)
    try:
        with store.database.change() as connection:  # nobody knows of it yet, so its row may come before its file
            lease(connection, [staged], expires_at)
            done = _finished(upload, staged)
            if guard is not None:
                guard(connection, done)
            connection.execute(_ADD, vars(done))
        staged.publish()
        return staged.size
    finally:
        staged.discard()


def begin(  # noqa: PLR0913 - as above
    store: Store,
    namespace_id: int,
    user_id: int,
    digest: str,
    size: int,
    *,
    keep: timedelta,
    guard: Guard | None = None,
) -> Upload:
    """Begin an upload in parts.

    Raises:
        VectorstoreError: whatever `guard` raises.
    """
    _check_digest(digest)
    expires_at = datetime.now(UTC) + keep
    upload = Upload(
        secrets.token_hex(16), namespace_id, user_id, digest, size, 0, finished=False, expires_at=expires_at
    )
    with store.database.change() as connection:
        if guard is not None:
            guard(connection, upload)
        connection.execute(_ADD, vars(upload))
    return upload


def find(store: Store, namespace_id: int, upload_id: str) -> Upload:
    """Return an upload of a namespace.

    Raises:
        NotFoundError: when there is none, or it has expired.
    """
    with store.database.read() as session:
        return _upload(_find(session, namespace_id, upload_id))


def append(store: Store, namespace_id: int, upload_id: str, offset: int, data: Iterable[bytes]) -> Upload:
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
        _require_offset(_upload(present), offset)
        present.received = offset + length
        return _upload(present)


def finish(store: Store, namespace_id: int, upload_id: str) -> Upload:
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
        done = _publish(store, row, store.blobs.parts(row.id))
    except IntegrityError:
        if (present := find(store, namespace_id, upload_id)).finished:  # by another request, which had the parts
            return present
        cancel(store, namespace_id, upload_id)
        raise
    store.blobs.drop_parts(row.id)
    return done


def cancel(store: Store, namespace_id: int, upload_id: str) -> None:
    """Forget an upload and its parts."""
    row = find(store, namespace_id, upload_id)
    with store.database.write() as session:
        session.execute(delete(UploadRow).where(UploadRow.id == row.id))
    store.blobs.drop_parts(row.id)


def missing(connection: Connection, namespace_id: int, digests: Sequence[str]) -> list[str]:
    """Return those that the namespace may not use: no version of it has them, and it was not sent them."""
    asked = {"namespace": namespace_id, "digests": list(digests), "now": datetime.now(UTC)}
    found = set(connection.execute(_KNOWN, asked).scalars())
    return [digest for digest in digests if digest not in found]


def _staged(store: Store, row: Upload, data: Iterable[bytes]) -> Staged:
    """Write bytes where nobody looks yet, and check that they are those that were announced."""
    staged = store.blobs.stage(data)
    if staged.digest != row.digest:
        staged.discard()
        raise IntegrityError(f"the bytes have the digest {staged.digest}, not {row.digest}", "send them again")
    return staged


def _finished(row: Upload, staged: Staged) -> Upload:
    return replace(row, size=staged.size, received=staged.size, finished=True)


def _publish(store: Store, row: Upload, data: Iterable[bytes]) -> Upload:
    """Give bytes the name of their digest, after a row that keeps them, and note the upload as finished."""
    staged = _staged(store, row, data)
    try:
        with store.database.change() as connection:
            lease(connection, [staged], row.expires_at)
        staged.publish()
        done = _finished(row, staged)
        with store.database.write() as session:
            session.merge(UploadRow(**vars(done)))
        return done
    finally:
        staged.discard()


def _find(session: Session, namespace_id: int, upload_id: str, *, lock: bool = False) -> UploadRow:
    mine = select(UploadRow).where(UploadRow.id == upload_id, UploadRow.namespace_id == namespace_id)
    row = session.scalar(mine.where(UploadRow.expires_at > datetime.now(UTC)).with_for_update() if lock else mine)
    if row is None or row.expires_at <= datetime.now(UTC):
        raise NotFoundError("there is no such upload", "begin another one")
    return row


def _upload(row: UploadRow) -> Upload:
    return Upload(**{name: getattr(row, name) for name in Upload.__dataclass_fields__})


def _require_offset(row: Upload, offset: int) -> None:
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

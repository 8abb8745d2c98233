"""Quota: what a namespace has room for. Bytes count that its versions have, and those that no version has yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, Select, case, func, select

from vectorstore.accounts.access import Grant
from vectorstore.errors import ConflictError
from vectorstore.manifest import Manifest
from vectorstore.service.guard import Desk
from vectorstore.store.schema import NamespaceRow, VersionBlobRow, VersionRow
from vectorstore.store.team_schema import UploadRow
from vectorstore.store.uploads import Guard, Upload, missing


def require_room_to_send(desk: Desk, digest: str, size: int) -> None:
    """Refuse bytes before they come where there is no room for them; a guard asks again when they are noted.

    Raises:
        ConflictError: says what is left.
    """
    if desk.max_bytes is not None:
        with desk.store.database.look() as connection:
            if missing(connection, desk.namespace_id, [digest]):
                _require_bytes(connection, desk.namespace_id, desk.namespace, desk.max_bytes, size)


def room_to_send(desk: Desk) -> Guard | None:
    """Return what asks for room in the transaction that notes bytes; None where the namespace takes all that come."""
    return None if desk.max_bytes is None else partial(_require_room_for, desk)


def require_room_still(desk: Desk, manifest: Manifest, connection: Connection) -> None:
    """Ask for room where a version is added; who else is at it waits, and is counted then.

    Raises:
        ConflictError: says what is left.
    """
    grant = _locked(connection, desk)
    require_room(connection, grant, desk.namespace, manifest)


def require_room(connection: Connection, grant: Grant, namespace: str, manifest: Manifest) -> None:
    """Refuse a version that goes beyond its namespace's quotas.

    Raises:
        ConflictError: says what is left.
    """
    if grant.max_versions is None and grant.max_bytes is None:
        return
    mine = VersionRow.namespace_id == grant.namespace_id
    if connection.scalar(select(VersionRow.id).where(mine, VersionRow.digest == manifest.digest).limit(1)) is not None:
        return
    count = connection.scalar(select(func.count()).select_from(VersionRow).where(mine)) or 0
    if grant.max_versions is not None and count >= grant.max_versions:
        raise ConflictError(f"{namespace} has all of its {grant.max_versions} versions", "delete some")
    if grant.max_bytes is not None:
        _require_bytes_of(connection, grant.namespace_id, namespace, grant.max_bytes, manifest)


def _require_bytes_of(connection: Connection, namespace_id: int, namespace: str, most: int, manifest: Manifest) -> None:
    """Ask for room for a version's blobs; those that another one has take none, and those that were sent have it."""
    sizes = {blob.digest: blob.size for blob in manifest.blobs}
    if unsent := missing(connection, namespace_id, list(sizes)):
        _require_bytes(connection, namespace_id, namespace, most, _sum(sizes, unsent))
        return
    saved = _saved(namespace_id).subquery()
    present = set(connection.scalars(select(saved.c.digest).where(saved.c.digest.in_(list(sizes)))))
    _require(namespace, most, _used(connection, namespace_id), 0, _sum(sizes, set(sizes) - present))


def _require_room_for(desk: Desk, connection: Connection, upload: Upload) -> None:
    """Ask for room for bytes that are noted; those that the namespace has already take none."""
    most = _locked(connection, desk).max_bytes
    again = upload.finished and not missing(connection, desk.namespace_id, [upload.digest])
    if most is not None and not again:
        _require_bytes(connection, desk.namespace_id, desk.namespace, most, upload.size)


def _require_bytes(connection: Connection, namespace_id: int, namespace: str, most: int, more: int) -> None:
    """Ask for room beside all that the namespace has, or was sent."""
    _require(namespace, most, _used(connection, namespace_id), _waiting(connection, namespace_id), more)


def _require(namespace: str, most: int, used: int, waiting: int, more: int) -> None:
    left = max(0, most - used - waiting)
    if more > left:
        kept = f" beside {waiting} that were sent and no version has" if waiting else ""
        raise ConflictError(
            f"{namespace} has {left} of its {most} bytes left{kept}, and this needs {more}",
            "delete versions, or ask an administrator for more",
        )


def _locked(connection: Connection, desk: Desk) -> Grant:
    """Return the quotas as they are now, and keep the namespace's row until the end: who else asks waits."""
    quotas = select(NamespaceRow.max_bytes, NamespaceRow.max_versions).where(NamespaceRow.id == desk.namespace_id)
    row = connection.execute(quotas.with_for_update(key_share=True)).one()
    return Grant(desk.namespace_id, desk.right, row.max_bytes, row.max_versions)


def _saved(namespace_id: int) -> Select[str, int]:
    """Return the blobs of a namespace's versions, each once."""
    blobs = select(VersionBlobRow.digest, VersionBlobRow.size).join(VersionRow)
    return blobs.where(VersionRow.namespace_id == namespace_id).distinct()


def _used(connection: Connection, namespace_id: int) -> int:
    """Return how many bytes its versions have."""
    return int(connection.scalar(select(func.sum(_saved(namespace_id).subquery().c.size))) or 0)


def _waiting(connection: Connection, namespace_id: int) -> int:
    """Return how many bytes no version has yet: of what was sent each once, of what is on its way all that may come."""
    row = UploadRow
    mine = row.namespace_id == namespace_id, row.expires_at > datetime.now(UTC)
    new = ~row.finished | row.digest.not_in(select(_saved(namespace_id).subquery().c.digest))
    each = select(row.digest, row.size, case((row.finished, ""), else_=row.id).label("way")).where(*mine, new)
    return int(connection.scalar(select(func.sum(each.distinct().subquery().c.size))) or 0)


def _sum(sizes: Mapping[str, int], digests: Iterable[str]) -> int:
    return sum(sizes[digest] for digest in digests)

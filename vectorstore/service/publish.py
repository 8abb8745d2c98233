"""Publish: a version from its manifest, whose blobs the namespace has already."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import func, select

from vectorstore.accounts.access import visible
from vectorstore.accounts.rights import Right
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError
from vectorstore.manifest import Manifest
from vectorstore.service.desk_versions import KINDS
from vectorstore.service.guard import Desk, require_still
from vectorstore.service.shapes import NameParts
from vectorstore.store.receive import read_manifest
from vectorstore.store.save import commit_blobs
from vectorstore.store.schema import NamespaceRow, VersionBlobRow, VersionRow
from vectorstore.store.team_schema import UploadRow
from vectorstore.store.upkeep.stored_draft import stored_draft
from vectorstore.store.uploads import missing
from vectorstore.store.version import Saved


def publish(desk: Desk, path: NameParts, digest: str, data: bytes) -> Saved:
    """Save the version of a manifest under `namespace/name`.

    Raises:
        IntegrityError: when the manifest or a blob is not what it should be.
        InvalidInputError: when it is of the other kind, or too large.
        ConflictError: when blobs were not sent, or a quota is used up.
    """
    require_still(desk, Right.WRITE)  # the body may have taken its time
    manifest = read_manifest(data)
    if manifest.digest != digest:
        raise IntegrityError(f"the manifest has the digest {manifest.digest}", "send what you announced")
    if manifest.kind != KINDS[path.kind]:
        raise InvalidInputError(
            f"the manifest is of a {manifest.kind}, not of a {KINDS[path.kind]}", f"put it under /{manifest.kind}s/"
        )
    for blob in manifest.blobs:
        if blob.size > desk.options.max_blob:
            raise InvalidInputError(f"a blob of {blob.size} bytes", f"{desk.options.max_blob} are taken at most")
    with desk.store.database.read() as session:
        absent = missing(session, desk.namespace_id, [blob.digest for blob in manifest.blobs])
        if absent:
            raise ConflictError(f"{desk.namespace} was not sent the blobs {', '.join(absent)}", "send them first")
        _require_room(desk, session.get_one(NamespaceRow, desk.namespace_id), manifest)
    return _saved(desk, path, manifest, data)


def _saved(desk: Desk, path: NameParts, manifest: Manifest, data: bytes) -> Saved:
    blobs = desk.store.blobs
    with desk.store.database.read() as session:
        among = frozenset(session.scalars(select(NamespaceRow.id).where(visible(desk.caller))))
    draft = replace(stored_draft(manifest, blobs.open), namespace=path.namespace, name=path.name, among=among)
    staged = blobs.stage(data)
    try:
        return commit_blobs(desk.store.database, blobs, draft, [staged], manifest.blobs)
    finally:
        staged.discard()


def require_room_to_send(desk: Desk, size: int) -> None:
    """Refuse bytes beyond a namespace's quota: what it was sent and no version has counts too.

    Raises:
        ConflictError: when there is no room.
    """
    versions = select(VersionBlobRow.digest).join(VersionRow, VersionRow.id == VersionBlobRow.version_id)
    saved = versions.where(VersionRow.namespace_id == desk.namespace_id)
    mine = UploadRow.namespace_id == desk.namespace_id, UploadRow.expires_at > datetime.now(UTC)
    waiting = select(func.sum(UploadRow.size)).where(*mine, UploadRow.digest.not_in(saved))
    with desk.store.database.read() as session:
        most = session.get_one(NamespaceRow, desk.namespace_id).max_bytes
        sent = 0 if most is None else int(session.scalar(waiting) or 0)
    if most is not None and sent + size > most:
        raise ConflictError(
            f"{sent} bytes that no version has were sent to {desk.namespace}, and its quota is {most}", "save versions"
        )


def _require_room(desk: Desk, namespace: NamespaceRow, manifest: Manifest) -> None:
    """Refuse what goes beyond the namespace's quotas."""
    if namespace.max_versions is None and namespace.max_bytes is None:
        return
    mine = VersionRow.namespace_id == namespace.id
    with desk.store.database.read() as session:
        same = session.scalar(select(VersionRow.id).where(mine, VersionRow.digest == manifest.digest).limit(1))
        count = session.scalar(select(func.count()).select_from(VersionRow).where(mine)) or 0
        blobs = select(VersionBlobRow.digest, VersionBlobRow.size).join(VersionRow).where(mine).distinct().subquery()
        size = session.scalar(select(func.sum(blobs.c.size))) or 0
    if same is not None:
        return
    if namespace.max_versions is not None and count >= namespace.max_versions:
        raise ConflictError(f"{namespace.name} has all of its {namespace.max_versions} versions", "delete some")
    more = sum(blob.size for blob in manifest.blobs)
    if namespace.max_bytes is not None and size + more > namespace.max_bytes:
        raise ConflictError(
            f"{namespace.name} has {size} of its {namespace.max_bytes} bytes, and this needs {more}", "delete some"
        )

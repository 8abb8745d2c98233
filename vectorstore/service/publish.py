"""Publish: a version from its manifest, whose blobs the namespace has already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import func, select

from vectorstore.accounts.access import visible
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vectorstore.manifest import Manifest
from vectorstore.service.desk_versions import KINDS
from vectorstore.service.guard import Desk
from vectorstore.service.shapes import NameParts
from vectorstore.store.receive import read_manifest
from vectorstore.store.save import commit_blobs
from vectorstore.store.schema import NamespaceRow, VersionBlobRow, VersionRow
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
    draft = replace(stored_draft(manifest, blobs.open), namespace=path.namespace, name=path.name)
    _require_seen(desk, [*draft.about.parents, *(term.digest for term in draft.terms)])
    staged = blobs.stage(data)
    try:
        return commit_blobs(desk.store.database, blobs, draft, [staged], manifest.blobs)
    finally:
        staged.discard()


def _require_seen(desk: Desk, digests: Sequence[str]) -> None:
    """Refuse to pin or build on versions that the caller may not see, in the words for those that are not there."""
    with desk.store.database.read() as session:
        seen = select(VersionRow.digest).join(NamespaceRow, NamespaceRow.id == VersionRow.namespace_id)
        found = set(session.scalars(seen.where(VersionRow.digest.in_(digests), visible(desk.caller))))
    for digest in digests:
        if digest not in found:
            raise NotFoundError(f"{digest[:19]}, which it needs, is not in this library", "push that first")


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

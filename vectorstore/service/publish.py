"""Publish: a version from its manifest, whose blobs the namespace has already."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate

from sqlalchemy import Connection, select

from vectorstore.accounts.access import visible
from vectorstore.accounts.rights import Right
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError
from vectorstore.manifest import ITEMS_BLOB, Manifest
from vectorstore.service.desk_versions import KINDS
from vectorstore.service.guard import Desk, still_granted
from vectorstore.service.paths import NameParts
from vectorstore.service.quota import require_room, require_room_still
from vectorstore.store.draft import PARENTS_ANNOTATION
from vectorstore.store.receive import check_marks, read_manifest
from vectorstore.store.save import commit_blobs
from vectorstore.store.schema import NamespaceRow
from vectorstore.store.upkeep.stored_draft import stored_draft
from vectorstore.store.uploads import missing
from vectorstore.store.version import Saved

SOON_SECONDS = 1.0  # after which rights are looked at again


def publish(
    desk: Desk, path: NameParts, digest: str, body: bytes, manifest_size: int | None = None
) -> tuple[Saved, bool]:
    """Save the version of a manifest under `namespace/name`; say too whether it is made of others.

    Args:
        desk: who saves it, and where.
        path: what it shall be called.
        digest: of the manifest.
        body: the manifest; where it is longer than `manifest_size`, all of its blobs follow.
        manifest_size: bytes of the manifest; None for all of the body.

    Raises:
        IntegrityError: when the manifest or a blob is not what it should be.
        InvalidInputError: when it is of the other kind, or too large.
        ConflictError: when blobs were not sent, or a quota is used up.
    """
    data, rest = body[:manifest_size], memoryview(body)[len(body) if manifest_size is None else manifest_size :]
    manifest = _announced(desk, path, digest, data)
    sent = _cut(manifest, rest) if rest else {}
    among = _permitted(desk, manifest, whole=bool(sent))
    store = desk.store
    opened = sent or {blob.digest: store.blobs.open(blob.digest, blob.size) for blob in manifest.blobs}
    for blob in manifest.blobs:
        if blob.media_type == ITEMS_BLOB:
            check_marks(opened[blob.digest])
    draft = stored_draft(manifest, lambda name, _size: opened[name])
    guard = partial(require_room_still, desk, manifest) if desk.limited else None
    draft = replace(draft, namespace=path.namespace, name=path.name, among=among, guard=guard)
    with ExitStack() as stack:
        staged = []
        for content in (*sent.values(), data):
            staged.append(store.blobs.stage(bytes(content)))
            stack.callback(staged[-1].discard)
        saved = commit_blobs(store.database, store.blobs, draft, staged, () if sent else manifest.blobs)
    return saved, _made_of(manifest)


def _announced(desk: Desk, path: NameParts, digest: str, data: bytes) -> Manifest:
    """Read the manifest, and check that it is what the path says, and no larger than may be."""
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
    return manifest


def _cut(manifest: Manifest, rest: memoryview) -> dict[str, memoryview]:
    """Return the blobs that followed a manifest; whether they are those that it names is checked when they are read."""
    size = sum(blob.size for blob in manifest.blobs)
    if len(rest) != size:
        raise IntegrityError(f"{len(rest)} bytes follow the manifest, and its blobs have {size}", "send all of them")
    ends = list(accumulate(blob.size for blob in manifest.blobs))
    return {blob.digest: rest[end - blob.size : end] for blob, end in zip(manifest.blobs, ends, strict=True)}


def _permitted(desk: Desk, manifest: Manifest, *, whole: bool) -> frozenset[int] | None:
    """Check that it may be saved, before anything is written; return the namespaces whose versions it may be made of.

    What came whole and soon, limited by no quota and made of nothing, needs no second look at the database.
    """
    soon = time.monotonic() - desk.since < SOON_SECONDS
    made_of = _made_of(manifest)
    if whole and soon and not (made_of or desk.limited):
        return None
    with desk.store.database.look() as connection:
        grant = still_granted(connection, desk, Right.WRITE)  # the body may have taken its time
        if not whole:
            _require_blobs(connection, desk, manifest)
        require_room(connection, grant, desk.namespace, manifest)
        visible_ids = select(NamespaceRow.id).where(visible(desk.caller))
        return frozenset(connection.scalars(visible_ids)) if made_of else None


def _made_of(manifest: Manifest) -> bool:
    return manifest.kind == "recipe" or PARENTS_ANNOTATION in manifest.annotations


def _require_blobs(connection: Connection, desk: Desk, manifest: Manifest) -> None:
    """Refuse a manifest of bytes that the namespace may not use, or that are gone, so that they are sent again."""
    digests = [blob.digest for blob in manifest.blobs]
    refused = set(missing(connection, desk.namespace_id, digests))
    if absent := [digest for digest in digests if digest in refused or not desk.store.blobs.exists(digest)]:
        raise ConflictError(f"{desk.namespace} was not sent the blobs {', '.join(absent)}", "send them first")

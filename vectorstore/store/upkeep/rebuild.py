"""Rebuild: versions from manifests and blobs that are in place already, where the database was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from vectorstore.canonical import Json, digest
from vectorstore.errors import IntegrityError, NotFoundError, UnavailableError, VectorstoreError
from vectorstore.manifest import MAX_MANIFEST, Manifest
from vectorstore.store.blobs.protocol import Stored
from vectorstore.store.save import commit_blobs
from vectorstore.store.schema import TombstoneRow
from vectorstore.store.store import Store
from vectorstore.store.upkeep.stored_draft import stored_draft

LOST = (
    "aliases, yanks, evaluations, events, and what was changed after saving (labels, presets, descriptions) were in "
    "the database alone; numbers follow the order in which the files came, so they differ where versions were deleted "
    "or received; what was received under another name has the one it was made with"
)
_BEGINNING = b'{"annotations":{'  # of every manifest, since its keys are sorted


@dataclass
class Rebuilt:
    """What was found.

    Attributes:
        versions: references of the versions that were added.
        present: how many manifests were versions already.
        rejected: why a manifest, or a file that may be one, could not be used, by digest.
        unused: digests of files that belong to no version.
    """

    versions: list[str] = field(default_factory=list)
    present: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return {**vars(self), "lost": LOST}


def rebuild(store: Store) -> Rebuilt:
    """Add a version for every manifest among the blobs that the library does not have; everything is checked first.

    What is there stays as it is, and what was deleted stays deleted; so a rebuild that was interrupted is done again.
    LOST says what manifests do not hold.

    Raises:
        UnavailableError: when database or blobs cannot be used.
    """
    rebuilt = Rebuilt()
    files = sorted(store.blobs.all(), key=lambda file: (file.modified, file.digest))
    used: set[str] = set()
    waiting: Sequence[Stored] = [file for file in files if _is_manifest(store, file, rebuilt)]
    while waiting:
        missing: dict[str, str] = {}
        later = [file for file in waiting if not _add(store, file, rebuilt, used, missing)]
        if len(later) == len(waiting):  # what these need is nowhere
            rebuilt.rejected |= missing
            break
        waiting = later
    rebuilt.unused = sorted({file.digest for file in files} - used)
    return rebuilt


def _is_manifest(store: Store, file: Stored, rebuilt: Rebuilt) -> bool:
    if not len(_BEGINNING) < file.size <= MAX_MANIFEST:
        return False
    try:
        return bytes(store.blobs.open(file.digest, file.size)[: len(_BEGINNING)]) == _BEGINNING
    except IntegrityError as error:  # a bucket's blobs are hashed when they are fetched
        rebuilt.rejected[file.digest] = error.problem
        return False


def _add(store: Store, file: Stored, rebuilt: Rebuilt, used: set[str], missing: dict[str, str]) -> bool:
    """Add one version; False, with a word in `missing`, where something that it needs is not there yet."""
    try:
        data = bytes(store.blobs.open(file.digest, file.size))
        if digest(data) != file.digest:
            raise IntegrityError("its bytes have another digest")
        manifest = Manifest.from_bytes(data)
        if _was_deleted(store, file.digest):
            return True
        draft = stored_draft(manifest, store.blobs.open)
        saved = commit_blobs(store.database, store.blobs, draft, (), (*manifest.blobs, manifest.entry))
    except UnavailableError:
        raise
    except NotFoundError as error:
        missing[file.digest] = error.problem
        return False
    except VectorstoreError as error:
        rebuilt.rejected[file.digest] = error.problem
        return True
    used |= {file.digest, *(entry.digest for entry in manifest.blobs)}
    if saved.created:
        rebuilt.versions.append(saved.version.reference)
    else:
        rebuilt.present += 1
    return True


def _was_deleted(store: Store, name: str) -> bool:
    with store.database.read() as session:
        return session.scalar(select(TombstoneRow.number).where(TombstoneRow.digest == name).limit(1)) is not None

"""Bundle: versions with all that they need in one file, an OCI image layout (image-spec 1.1) in a tar archive.

`oci-layout` says what it is, `index.json` names the versions, `blobs/sha256/<hex>` holds their bytes. The same versions
give the same file, byte for byte.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE

from vectorstore.canonical import Json, digest
from vectorstore.errors import ConflictError, IntegrityError, NotFoundError, UnavailableError
from vectorstore.manifest import EMPTY_CONFIG, BlobEntry
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.blobs.folders import sync_folder
from vectorstore.store.contents import hashed
from vectorstore.store.version import Version
from vectorstore.transfer.archive import write_archive
from vectorstore.transfer.arrive import Advance, Arrived, arrive
from vectorstore.transfer.closure import closure
from vectorstore.transfer.index import index_bytes
from vectorstore.transfer.layout import CHUNK, INDEX, LAYOUT, LAYOUT_BYTES, Verified, blob_path, open_layout

Members = Iterable[tuple[str, int, Iterable[bytes]]]


@dataclass(frozen=True)
class Written:
    """What was written: the file, its size, and the versions in it."""

    path: Path
    size: int
    versions: tuple[Version, ...]

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {"file": str(self.path), "size": self.size, "versions": [str(version) for version in self.versions]}


def create_bundle(
    store: Store,
    references: Iterable[str | Reference],
    to: str | Path,
    *,
    aliases: bool = False,
    force: bool = False,
) -> Written:
    """Write versions with all that they pin and their parents to the file `to`; it is whole, or not there.

    Args:
        store: the library.
        references: the versions.
        to: the file.
        aliases: put in which aliases they have.
        force: replace the file if it is there.

    Raises:
        NotFoundError: when there is no such version, or no folder to write to.
        ConflictError: when the file is there already, without `force`.
        IntegrityError: when a blob is missing or damaged.
        UnavailableError: when the disk cannot take it.
    """
    path = Path(to)
    _check_target(path, force=force)
    versions = closure(store, references)
    members = _members(store, versions, aliases=aliases)
    try:
        return Written(path, _write(path, members), versions)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {path} ({error.strerror or error})",
            "check that its folder can be written and the disk has space",
        ) from error


def verify_bundle(path: str | Path) -> Verified:
    """Check a bundle without any library: every byte, every vector as a stranger's, and that nothing is missing.

    Raises:
        NotFoundError: when there is no such file.
        IntegrityError: when it is no bundle at all.
    """
    return open_layout(Path(path)).verify(complete=True)


def apply_bundle(  # noqa: PLR0913 - each is optional
    store: Store,
    path: str | Path,
    *,
    namespace: str | None = None,
    renumber: bool = False,
    dry_run: bool = False,
    advance: Advance | None = None,
) -> Arrived:
    """Bring the versions of a bundle in; nothing comes in where anything in it is wrong or contradicts what is here.

    Args:
        store: the library.
        path: the file.
        namespace: where all of them shall live; otherwise where each came from.
        renumber: let each have the next number of its name, instead of its own.
        dry_run: only say what would come in.
        advance: is told how far it is.

    Raises:
        NotFoundError: when there is no such file, or a version pins what is neither here nor in it.
        IntegrityError: when anything in it is not what it should be.
        ConflictError: listing all that contradicts what is here.
        UnavailableError: when database or disk cannot take it; says what came in until then.
    """
    layout = open_layout(Path(path))
    if problems := layout.verify(complete=False).problems:
        subject, detail = problems[0]
        raise IntegrityError(f"nothing came in: {subject}: {detail}", "see `steer bundle verify`")
    offers = [offer.renamed(namespace, renumber=renumber) for offer in layout.offers()]
    return arrive(store, offers, layout.fetch, dry_run=dry_run, advance=advance)


def blob_chunks(store: Store, entry: BlobEntry) -> Iterator[bytes]:
    """Yield a blob of the library in pieces; it is hashed first.

    Raises:
        IntegrityError: when it is missing or was altered.
    """
    view = hashed(store.blobs.open, entry)
    for start in range(0, entry.size, CHUNK):
        yield bytes(view[start : start + CHUNK])


def _check_target(path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}", "make it first")
    if path.is_dir() or (path.exists() and not force):
        raise ConflictError(f"{path} is there already", "give another name, or --force to replace the file")


def _members(store: Store, versions: tuple[Version, ...], *, aliases: bool) -> Members:
    """Yield the files of the archive: what says what it is, then the blobs in the order of their digests."""
    manifests = {version.digest: store.read_manifest(version) for version in versions}
    sizes = [(version, len(manifests[version.digest])) for version in versions]
    blobs = {entry.digest: entry for version in versions for entry in version.blobs}
    small = manifests | {digest(EMPTY_CONFIG): EMPTY_CONFIG}
    for name, data in ((LAYOUT, LAYOUT_BYTES), (INDEX, index_bytes(sizes, aliases=aliases))):
        yield name, len(data), (data,)
    for name in sorted(small | blobs):
        if name in small:
            yield blob_path(name), len(small[name]), (small[name],)
        else:
            yield blob_path(name), blobs[name].size, blob_chunks(store, blobs[name])


def _write(path: Path, members: Members) -> int:
    """Write beside, sync, and rename; return the size."""
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("xb") as file:
            if path.exists():  # what was kept from others stays so
                beside.chmod(S_IMODE(path.stat().st_mode))
            write_archive(file, members)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        beside.replace(path)
        sync_folder(path.parent)
        return size
    finally:
        with suppress(OSError):
            beside.unlink()

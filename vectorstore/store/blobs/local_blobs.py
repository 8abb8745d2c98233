"""LocalBlobs: blobs in a folder, each synced before it has a name.

`sha256/ab/<hex>` holds them, read-only; `tmp/<uuid>` holds what is being written; `quarantine/` what was damaged or
belonged to nobody. Neither obstore's nor fsspec's local store syncs, so this one is our own.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vectorstore.canonical import is_digest
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.store.blobs.folders import make_folder, sync_folder
from vectorstore.store.blobs.protocol import Check, Stored
from vectorstore.store.engine import unavailable

if TYPE_CHECKING:
    from types import TracebackType

SMALL = 1 << 16  # bytes; each mapping also holds one of the few files that a process may have open
_PIECE = 1 << 20
_KEPT = 1 << 22
_RESTORE = "restore it from a backup, or compute the vector again and save it"


@dataclass(frozen=True)
class LocalStaged:
    """A synced file in `tmp`; `synced` are the folders whose own names are known to be on the disk."""

    digest: str
    size: int
    path: Path
    target: Path
    synced: set[tuple[str, int]]

    def publish(self) -> None:
        """Rename the file to its digest and sync the folder: after this it survives a power cut."""
        with _disk():
            self._make_folder()
            self.path.chmod(0o444)
            self.path.replace(self.target)
            sync_folder(self.target.parent)

    def _make_folder(self) -> None:
        """Make `sha256/ab`, and sync once what it lies in: another program may have made it, and not synced it yet."""
        folder = self.target.parent
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        root, fresh = folder.parent.parent, []
        for lower in (folder, folder.parent, root):
            known = str(lower), lower.stat().st_ino
            if known in self.synced:
                break
            try:
                sync_folder(lower.parent)
            except PermissionError:  # what holds the root may be a folder of somebody else, closed to us
                if lower != root:
                    raise
            fresh.append(known)
        self.synced.update(fresh)  # once all above them is: a known one needs no look further up

    def discard(self) -> None:
        """Remove the file, if it was not published."""
        with suppress(OSError):
            self.path.unlink()


class LocalBlobs:
    """A folder of blobs. Reading needs no right to write."""

    def __init__(self, root: Path) -> None:
        """Use `root`; it is made when the first blob is."""
        self.root = root
        self._files = str(root / "sha256")
        self._synced: set[tuple[str, int]] = set()
        _keep_freed_memory()

    def stage(self, data: bytes | Iterable[bytes], check: Check | None = None) -> LocalStaged:
        """Stream to `tmp`, counting and hashing; let `check` see the bytes; sync the file.

        Raises:
            UnavailableError: when the disk cannot take them.
        """
        path = self.root / "tmp" / uuid.uuid4().hex
        with _disk():
            make_folder(path.parent)
            try:
                digest, size = _write(path, (data,) if isinstance(data, bytes) else data, check)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return LocalStaged(digest, size, path, self._path(digest), self._synced)

    def exists(self, digest: str) -> bool:
        """Return whether there is a file of this digest."""
        return self._path(digest).is_file()

    def open(self, digest: str, size: int) -> memoryview:
        """Map the file into memory: it is read when it is used. A small one is read at once, which is quicker.

        Raises:
            IntegrityError: when the file is not there, or has another size.
            UnavailableError: when it cannot be read, or the whole folder of blobs is not there.
        """
        path = self._file(digest)
        with _disk():
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except (FileNotFoundError, NotADirectoryError):
                self._require_root()
                raise IntegrityError(f"the blob {path} is missing", _RESTORE) from None
            try:
                if size <= SMALL:
                    data = os.read(descriptor, size + 1)
                    if len(data) == size > 0:
                        return memoryview(data)
                present = os.fstat(descriptor).st_size
                if present != size or not size:
                    raise IntegrityError(f"the blob {path} has {present} bytes, not {size}", _RESTORE)
                return _mapped(descriptor)
            finally:
                os.close(descriptor)

    def file(self, digest: str, size: int) -> Path:
        """Return the file.

        Raises:
            IntegrityError, UnavailableError: as for `open`.
        """
        self.open(digest, size)
        return self._path(digest)

    def link(self, _digest: str, _seconds: float) -> None:
        """Return None: a folder has no URLs."""
        return

    def verify(self, digest: str, size: int, *, full: bool) -> None:
        """Look at the file; `full` reads and hashes it.

        Raises:
            IntegrityError, UnavailableError: as for `open`, and when its bytes have another digest.
        """
        view = self.open(digest, size)
        if full and f"sha256:{hashlib.sha256(view).hexdigest()}" != digest:
            raise IntegrityError(f"the blob {self._path(digest)} has other bytes: its digest is not its name", _RESTORE)

    def delete(self, digest: str) -> None:
        """Remove the file, if it is there, and sync the folder."""
        path = self._path(digest)
        with _disk():
            if path.exists():
                path.unlink()
                sync_folder(path.parent)

    def all(self) -> Iterator[Stored]:
        """Yield every file, in the order of the digests."""
        with _disk():
            for folder in sorted(self.root.glob("sha256/[0-9a-f][0-9a-f]")):
                for path in sorted(folder.iterdir()):
                    if is_digest(f"sha256:{path.name}"):
                        yield from _stored(path)

    def quarantine(self, digest: str) -> str:
        """Move the file to `quarantine/`, and return its path there."""
        path, away = self._path(digest), self.root / "quarantine" / f"{digest[7:]}-{uuid.uuid4().hex[:8]}"
        with _disk():
            make_folder(away.parent)
            path.replace(away)
            sync_folder(away.parent)
            sync_folder(path.parent)
        return str(away)

    def put_part(self, upload: str, offset: int, data: Iterable[bytes]) -> int:
        """Keep a part in `tmp`, synced, over one that came there before; return its number of bytes.

        Raises:
            UnavailableError: when the disk cannot take it.
        """
        part, path = self.root / "tmp" / uuid.uuid4().hex, self._part(upload, offset)
        with _disk():
            make_folder(part.parent)
            try:
                _, size = _write(part, data, None)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            sync_folder(path.parent)
        return size

    def parts(self, upload: str) -> Iterator[bytes]:
        """Yield the parts of an upload, in order.

        Raises:
            UnavailableError: when they cannot be read.
        """
        with _disk():
            for path in self._part_paths(upload):
                with path.open("rb") as file:
                    while chunk := file.read(_PIECE):
                        yield chunk

    def drop_parts(self, upload: str) -> None:
        """Remove the parts of an upload, if there are any."""
        with _disk():
            for path in self._part_paths(upload):
                path.unlink(missing_ok=True)

    def leftovers(self, before: datetime) -> list[str]:
        """Return the files in `tmp` that nobody has written to since `before`."""
        with _disk():
            return [str(path) for path in sorted(self.root.glob("tmp/*")) if _is_older(path, before)]

    def sweep(self, before: datetime) -> list[str]:
        """Remove those, and return their paths."""
        swept = self.leftovers(before)
        with _disk():
            for path in swept:
                Path(path).unlink(missing_ok=True)
        return swept

    def _part(self, upload: str, offset: int) -> Path:
        return self.root / "tmp" / f"{upload}-{offset:020d}"

    def _part_paths(self, upload: str) -> list[Path]:
        return sorted((self.root / "tmp").glob(f"{upload}-*"))

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise UnavailableError(
                f"there is no folder of blobs at {self.root}",
                "mount it, or say where the blobs are with STEER_BLOBS_URL (or --blobs)",
            )

    def _path(self, digest: str) -> Path:
        return Path(self._file(digest))

    def _file(self, digest: str) -> str:
        if not is_digest(digest):
            raise IntegrityError(f"'{digest[:80]}' is not a digest", "digests are sha256: and 64 hex digits")
        name = digest.removeprefix("sha256:")
        return f"{self._files}/{name[:2]}/{name}"


def _keep_freed_memory() -> None:
    """Let the C library keep some of what is freed; else small blobs take longer to find memory for than to read.

    glibc gives memory back once 128 KB are free at the end of its heap, and gets it again page by page, zeroed. It
    keeps twice as much as the largest block that it has seen freed (mallopt(3), M_MMAP_THRESHOLD). No page of this one
    is ever touched; of other C libraries it asks nothing.
    """
    bytes(_KEPT)


def _write(path: Path, chunks: Iterable[bytes], check: Check | None) -> tuple[str, int]:
    sha256, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            sha256.update(chunk)
            size += file.write(chunk)
        file.flush()
        if not size:
            raise IntegrityError("a blob without bytes", "give the whole file")
        if check is not None:
            with path.open("rb") as written:
                check(_mapped(written.fileno()))
        os.fsync(file.fileno())
    return f"sha256:{sha256.hexdigest()}", size


def _mapped(descriptor: int) -> memoryview:
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


class _disk:  # noqa: N801 - called as a function is, like contextlib.suppress
    """Turn the disk's errors into ours. A class: reading a small blob takes hardly longer than entering a generator."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise unavailable(error) from error


def _stored(path: Path) -> list[Stored]:
    """Return what is there, or nothing where it went while others were looked at."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return []
    return [Stored(f"sha256:{path.name}", status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))]


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment
    except FileNotFoundError:  # published, or discarded, while others were looked at
        return False

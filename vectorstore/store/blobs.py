"""Blobs: immutable bytes by digest, in a local folder.

`sha256/ab/<hex>` holds them, read-only; `tmp/<uuid>` holds what is being written. Neither obstore's nor fsspec's local
store syncs, so this one is our own.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from vectorstore.canonical import is_digest
from vectorstore.errors import IntegrityError, InvalidInputError, UnavailableError
from vectorstore.settings import absolute_path
from vectorstore.store.engine import unavailable
from vectorstore.store.folders import make_folder, sync_folder

Check = Callable[[memoryview], object]
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FILE = re.compile(r"(?i:file)://(?i:localhost)?(/[^?#]+)")
_RESTORE = "restore it from a backup, or compute the vector again and save it"


class Staged(Protocol):
    """Bytes that were written, counted, hashed, checked and synced, but have no name yet."""

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def publish(self) -> None:
        """Give the bytes their digest's name, for good; what was there before is replaced."""

    def discard(self) -> None:
        """Forget the bytes, if they were not published."""


class Blobs(Protocol):
    """What the store asks of any place that keeps blobs."""

    def stage(self, data: bytes | Iterable[bytes], check: Check | None = None) -> Staged:
        """Write `data` where nobody looks yet; `check` sees all of it and raises if it is bad."""

    def exists(self, digest: str) -> bool:
        """Return whether there are bytes of this digest."""

    def open(self, digest: str, size: int) -> memoryview:
        """Return the bytes, without reading them."""

    def delete(self, digest: str) -> None:
        """Remove the bytes, if they are there."""

    def all(self) -> Iterator[str]:
        """Yield every digest, in order."""


@dataclass(frozen=True)
class LocalStaged:
    """A synced file in `tmp`."""

    digest: str
    size: int
    path: Path
    target: Path

    def publish(self) -> None:
        """Rename the file to its digest and sync the folder: after this it survives a power cut."""
        with _disk():
            make_folder(self.target.parent)
            self.path.chmod(0o444)
            self.path.replace(self.target)
            _sync_up(self.target.parent)

    def discard(self) -> None:
        """Remove the file, if it was not published."""
        with suppress(OSError):
            self.path.unlink()


class LocalBlobs:
    """A folder of blobs. Reading needs no right to write."""

    def __init__(self, root: Path) -> None:
        """Use `root`; it is made when the first blob is."""
        self.root = root

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
        return LocalStaged(digest, size, path, self._path(digest))

    def exists(self, digest: str) -> bool:
        """Return whether there is a file of this digest."""
        return self._path(digest).is_file()

    def open(self, digest: str, size: int) -> memoryview:
        """Map the file into memory; it is read when it is used.

        Raises:
            IntegrityError: when the file is not there, or has another size.
            UnavailableError: when it cannot be read, or the whole folder of blobs is not there.
        """
        path = self._path(digest)
        with _disk():
            if not path.exists():
                self._require_root()
                raise IntegrityError(f"the blob {path} is missing", _RESTORE)
            present = path.stat().st_size
            if present != size or not size:
                raise IntegrityError(f"the blob {path} has {present} bytes, not {size}", _RESTORE)
            return _mapped(path)

    def delete(self, digest: str) -> None:
        """Remove the file, if it is there, and sync the folder."""
        path = self._path(digest)
        with _disk():
            if path.exists():
                path.unlink()
                sync_folder(path.parent)

    def all(self) -> Iterator[str]:
        """Yield the digest of every file, in order."""
        with _disk():
            for path in sorted(self.root.glob("sha256/[0-9a-f][0-9a-f]/*")):
                if is_digest(f"sha256:{path.name}"):
                    yield f"sha256:{path.name}"

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise UnavailableError(
                f"there is no folder of blobs at {self.root}",
                "mount it, or say where the blobs are with STEER_BLOBS_URL (or --blobs)",
            )

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise IntegrityError(f"'{digest[:80]}' is not a digest", "digests are sha256: and 64 hex digits")
        name = digest.removeprefix("sha256:")
        return self.root / "sha256" / name[:2] / name


def open_blobs(url: str) -> Blobs:
    """Return the blobs at `url`: `file:///folder`, or a plain path.

    Raises:
        InvalidInputError: for any other kind of URL, and for one that does not name a whole path.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return LocalBlobs(absolute_path(url))
    if scheme[1].lower() != "file":
        raise InvalidInputError(f"blobs at '{scheme[0][:40]}' are not yet supported", "give a folder")
    file = _FILE.fullmatch(url)
    if file is None:
        raise InvalidInputError(f"'{url[:60]}' names no folder", "write file:///the/whole/path, or the path alone")
    return LocalBlobs(absolute_path(unquote(file[1])))


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
            check(_mapped(path))
        os.fsync(file.fileno())
    return f"sha256:{sha256.hexdigest()}", size


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _sync_up(folder: Path) -> None:
    """Sync `sha256/ab` and what it lies in: another program may have made these folders, and not synced them yet."""
    for path in (folder, folder.parent, folder.parent.parent):
        sync_folder(path)
    with suppress(PermissionError):  # what holds the root may be a folder of somebody else, closed to us
        sync_folder(folder.parent.parent.parent)


@contextmanager
def _disk() -> Iterator[None]:
    """Turn the disk's errors into ours."""
    try:
        yield
    except OSError as error:
        raise unavailable(error) from error

"""ObjectBlobs: blobs in an object store (S3 and what speaks like it, Google Cloud Storage, Azure).

`sha256/ab/<hex>` holds them, below the prefix of the URL; `quarantine/` what was damaged or belonged to nobody, and
`parts/` what is being sent to the service in parts. What is
being written is a local file until it is sent, and what was read or written stays in a local folder by its digest:
that folder can be removed at any time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vectorstore.canonical import is_digest
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.store.blobs.bucket import Bucket
from vectorstore.store.blobs.local_blobs import LocalBlobs, LocalStaged
from vectorstore.store.blobs.object_errors import damaged, missing
from vectorstore.store.blobs.protocol import Check, Stored

_OTHER_BYTES = "has other bytes: its digest is not its name"


@dataclass(frozen=True)
class ObjectStaged:
    """A local file, mapped into memory, that is to be sent: it may be removed meanwhile."""

    local: LocalStaged
    data: memoryview
    bucket: Bucket

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits."""
        return self.local.digest

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.local.size

    def publish(self) -> None:
        """Send the bytes; this returns when the store has said that it has them all, or had them before."""
        self.bucket.send(_key(self.digest), self.digest, self.data)
        with suppress(UnavailableError):  # it is saved, whether or not it can be kept here too
            self.local.publish()

    def discard(self) -> None:
        """Remove the local file, if it is not kept."""
        self.local.discard()


class ObjectBlobs:
    """A bucket of blobs, and the local folder in which they are read."""

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        """Use the bucket; nothing is connected yet. `cache` is made when it is needed."""
        self.bucket = bucket
        self.cache = LocalBlobs(cache)

    def stage(self, data: bytes | Iterable[bytes], check: Check | None = None) -> ObjectStaged:
        """Stream to a local file, counting and hashing; let `check` see the bytes.

        Raises:
            UnavailableError: when the disk cannot take them.
        """
        views: list[memoryview] = []

        def see(view: memoryview) -> None:
            views.append(view)
            if check is not None:
                check(view)

        with _disk():
            return ObjectStaged(self.cache.stage(data, see), views[0], self.bucket)

    def exists(self, digest: str) -> bool:
        """Return whether the bucket has an object of this digest, whatever is kept here."""
        return self.bucket.size(_key(digest)) is not None

    def open(self, digest: str, size: int) -> memoryview:
        """Map the bytes into memory; they are fetched, and hashed, if they are not kept here.

        Raises:
            IntegrityError: when the object is not there, or is not what it was.
            NotAllowedError, UnavailableError: when it cannot be fetched.
        """
        with suppress(IntegrityError, UnavailableError):  # not here, or no longer whole: then it is fetched
            return self.cache.open(digest, size)
        return self._fetch(digest, size)

    def file(self, digest: str, size: int) -> Path:
        """Return the file in which the bytes are kept here; they are fetched, and hashed, if they are not.

        Raises:
            IntegrityError, NotAllowedError, UnavailableError: as for `open`.
        """
        self.open(digest, size)
        return self.cache.file(digest, size)

    def link(self, digest: str, seconds: float) -> str:
        """Return a signed URL of the object.

        Raises:
            NotAllowedError, UnavailableError: when the store cannot sign.
        """
        return self.bucket.link(_key(digest), seconds)

    def verify(self, digest: str, size: int, *, full: bool) -> None:
        """Look at the object itself, whatever is kept here; `full` reads and hashes it.

        Raises:
            IntegrityError: when it is not there, or is not what it was.
            NotAllowedError, UnavailableError: when the store does not say.
        """
        key = _key(digest)
        address, present = self.bucket.address(key), self.bucket.size(key)
        if present is None:
            raise missing(address)
        if present != size:
            raise damaged(address, f"has {present} bytes, not {size}")
        if full and not self.bucket.holds(key, digest):
            raise damaged(address, _OTHER_BYTES)

    def delete(self, digest: str) -> None:
        """Remove the object, if it is there, and what is kept of it here."""
        self.bucket.remove(_key(digest))
        self._forget(digest)

    def all(self) -> Iterator[Stored]:
        """Yield every object, in the order of the digests: that in which the stores list them.

        Raises:
            UnavailableError: when one lists them in another order.
        """
        last = ""
        for entry in self.bucket.list("sha256"):
            digest = f"sha256:{entry['path'].rpartition('/')[2]}"
            if not is_digest(digest) or entry["path"] != _key(digest):
                continue
            if digest <= last:
                raise UnavailableError(f"{self.bucket.url} lists its keys in no order", "use another store")
            last = digest
            yield Stored(digest, entry["size"], entry["last_modified"])

    def quarantine(self, digest: str) -> str:
        """Copy the object to `quarantine/`, remove it, and return the copy's URL."""
        away = f"quarantine/{digest[7:]}-{uuid.uuid4().hex[:8]}"
        self.bucket.move(_key(digest), away)
        self._forget(digest)
        return self.bucket.address(away)

    def put_part(self, upload: str, offset: int, data: Iterable[bytes]) -> int:
        """Keep a part in the bucket, over one that came there before; return its number of bytes.

        Raises:
            NotAllowedError, UnavailableError: when the store does not take it.
        """
        views: list[memoryview] = []
        with _disk():
            staged = self.cache.stage(data, views.append)
        try:
            self.bucket.put(f"{_parts(upload)}/{offset:020d}", views[0])
        finally:
            staged.discard()
        return staged.size

    def parts(self, upload: str) -> Iterator[bytes]:
        """Yield the parts of an upload, in order."""
        for entry in sorted(self.bucket.list(_parts(upload)), key=lambda entry: entry["path"]):
            yield from self.bucket.read(entry["path"], entry["size"])

    def drop_parts(self, upload: str) -> None:
        """Remove the parts of an upload, if there are any."""
        for entry in list(self.bucket.list(_parts(upload))):
            self.bucket.remove(entry["path"])

    def leftovers(self, before: datetime) -> list[str]:
        """Return the local files that were never sent, and parts, that nobody has written to since `before`."""
        return [*self.cache.leftovers(before), *map(self.bucket.address, self._old_parts(before))]

    def sweep(self, before: datetime) -> list[str]:
        """Remove those, and return where they lay."""
        swept = self.cache.sweep(before)
        for key in self._old_parts(before):
            self.bucket.remove(key)
            swept.append(self.bucket.address(key))
        return swept

    def _old_parts(self, before: datetime) -> list[str]:
        return [entry["path"] for entry in self.bucket.list("parts") if entry["last_modified"] < before]

    def _fetch(self, digest: str, size: int) -> memoryview:
        key = _key(digest)
        views: list[memoryview] = []
        with _disk():
            staged = self.cache.stage(self.bucket.read(key, size), views.append)
            try:
                if staged.digest != digest:
                    raise damaged(self.bucket.address(key), _OTHER_BYTES)
                staged.publish()
            finally:
                staged.discard()
        return views[0]

    def _forget(self, digest: str) -> None:
        with _disk():
            self.cache.delete(digest)


def _parts(upload: str) -> str:
    return f"parts/{upload}"


def _key(digest: str) -> str:
    if not is_digest(digest):
        raise IntegrityError(f"'{digest[:80]}' is not a digest", "digests are sha256: and 64 hex digits")
    name = digest.removeprefix("sha256:")
    return f"sha256/{name[:2]}/{name}"


@contextmanager
def _disk() -> Iterator[None]:
    """Say how to choose another folder for what is kept here."""
    try:
        yield
    except UnavailableError as error:
        if not isinstance(error.__cause__, OSError):
            raise  # the store, not the disk
        hint = "check that the folder can be written and the disk has space, or choose another with STEER_CACHE"
        raise UnavailableError(error.problem, hint) from error

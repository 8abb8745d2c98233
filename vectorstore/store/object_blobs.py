"""ObjectBlobs: blobs in an object store (S3 and what speaks like it, Google Cloud Storage, Azure).

`sha256/ab/<hex>` holds them, below the prefix of the URL; `quarantine/` what was damaged or belonged to nobody. What is
being written is a local file until it is sent, and what was read or written stays in a local folder by its digest:
that folder can be removed at any time.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError

from vectorstore.canonical import is_digest
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.store.blobs import Check, Stored
from vectorstore.store.local_blobs import LocalBlobs, LocalStaged
from vectorstore.store.object_errors import damaged, missing, no_bucket, translated
from vectorstore.store.object_stores import Bucket

PART = 8 << 20  # bytes sent in one request; what is larger is sent in parts of this size
_PARTS_AT_ONCE = 2
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ObjectStaged:
    """A local file, mapped into memory, that is to be sent: it may be removed meanwhile."""

    local: LocalStaged
    data: memoryview
    blobs: ObjectBlobs

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
        self.blobs.send(self.digest, self.data)
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
            return ObjectStaged(self.cache.stage(data, see), views[0], self)

    def send(self, digest: str, data: memoryview) -> None:
        """Send the bytes of this digest, unless the object is there and is just them.

        One request creates a small object only if there is none. A large one goes in parts, which the driver cannot
        make conditional: it is looked for first, and two who send it at once send the same.

        Raises:
            NotAllowedError, UnavailableError: when the store does not take it.
        """
        key = _key(digest)
        with self._request(key):
            try:
                if len(data) <= PART:
                    self._create(digest, data)
                elif not self._holds(digest, len(data)):
                    self._send_parts(key, data)
            except FileNotFoundError:
                self._require_bucket()
                raise no_bucket(self._url(key)) from None

    def exists(self, digest: str) -> bool:
        """Return whether the bucket has an object of this digest, whatever is kept here."""
        key = _key(digest)
        with self._request(key):
            return self._size(key) is not None

    def open(self, digest: str, size: int) -> memoryview:
        """Map the bytes into memory; they are fetched, and hashed, if they are not kept here.

        Raises:
            IntegrityError: when the object is not there, or is not what it was.
            NotAllowedError, UnavailableError: when it cannot be fetched.
        """
        with suppress(IntegrityError, UnavailableError):  # not here, or no longer whole: then it is fetched
            return self.cache.open(digest, size)
        return self._fetch(digest, size)

    def verify(self, digest: str, size: int, *, full: bool) -> None:
        """Look at the object itself, whatever is kept here; `full` reads and hashes it.

        Raises:
            IntegrityError: when it is not there, or is not what it was.
            NotAllowedError, UnavailableError: when the store does not say.
        """
        key = _key(digest)
        with self._request(key):
            present = self._size(key)
            if present is None:
                raise missing(self._url(key))
            if present != size:
                raise damaged(self._url(key), f"has {present} bytes, not {size}")
            if full and not self._holds(digest, size):
                raise damaged(self._url(key), "has other bytes: its digest is not its name")

    def delete(self, digest: str) -> None:
        """Remove the object, if it is there, and what is kept of it here."""
        key = _key(digest)
        with self._request(key):
            self._delete(key)
        self._forget(digest)

    def all(self) -> Iterator[Stored]:
        """Yield every object, in the order of the digests: that in which the stores list them.

        Raises:
            UnavailableError: when one lists them in another order.
        """
        last = ""
        with self._request("sha256"):
            for page in obstore.list(self.bucket.store, "sha256", chunk_size=1000):
                for entry in page:
                    digest = f"sha256:{entry['path'].rpartition('/')[2]}"
                    if not is_digest(digest) or entry["path"] != _key(digest):
                        continue
                    if digest <= last:
                        raise UnavailableError(f"{self.bucket.url} lists its keys in no order", "use another store")
                    last = digest
                    yield Stored(digest, entry["size"], entry["last_modified"])

    def quarantine(self, digest: str) -> str:
        """Copy the object to `quarantine/`, remove it, and return the copy's URL."""
        key, away = _key(digest), f"quarantine/{digest[7:]}-{uuid.uuid4().hex[:8]}"
        with self._request(key):
            obstore.copy(self.bucket.store, key, away)
            self._delete(key)
        self._forget(digest)
        return self._url(away)

    def leftovers(self, before: datetime) -> list[str]:
        """Return the local files that nobody has written to since `before`, and that were never sent."""
        return self.cache.leftovers(before)

    def sweep(self, before: datetime) -> list[str]:
        """Remove those, and return their paths."""
        return self.cache.sweep(before)

    def _fetch(self, digest: str, size: int) -> memoryview:
        key = _key(digest)
        with self._request(key):
            try:
                result = obstore.get(self.bucket.store, key)
            except FileNotFoundError:
                self._require_bucket()
                raise missing(self._url(key)) from None
        present = result.meta["size"]
        if present != size or not size:
            raise damaged(self._url(key), f"has {present} bytes, not {size}")
        views: list[memoryview] = []
        with _disk():
            staged = self.cache.stage(self._chunks(key, result), views.append)
            try:
                if (staged.digest, staged.size) != (digest, size):
                    raise damaged(self._url(key), "has other bytes: its digest is not its name")
                staged.publish()
            finally:
                staged.discard()
        return views[0]

    def _chunks(self, key: str, result: obstore.GetResult) -> Iterator[bytes]:
        with self._request(key):
            yield from result.stream(_CHUNK)

    def _create(self, digest: str, data: memoryview) -> None:
        key = _key(digest)
        try:
            obstore.put(self.bucket.store, key, data, mode="create", use_multipart=False)
        except (AlreadyExistsError, NotImplementedError):
            # It is there, or comes at this moment, or the store was said to know no conditions.
            if not self._holds(digest, len(data)):
                obstore.put(self.bucket.store, key, data, use_multipart=False)

    def _send_parts(self, key: str, data: memoryview) -> None:
        store = self.bucket.store
        obstore.put(store, key, data, use_multipart=True, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE)
        if (present := self._size(key)) != len(data):
            raise UnavailableError(f"{self._url(key)} has {present} bytes after {len(data)} were sent", "save again")

    def _holds(self, digest: str, size: int) -> bool:
        """Return whether the object is there with all its bytes; those are read."""
        key = _key(digest)
        if self._size(key) != size:
            return False
        sha256 = hashlib.sha256()
        for chunk in obstore.get(self.bucket.store, key).stream(_CHUNK):
            sha256.update(chunk)
        return f"sha256:{sha256.hexdigest()}" == digest

    def _size(self, key: str) -> int | None:
        try:
            return obstore.head(self.bucket.store, key)["size"]
        except FileNotFoundError:
            self._require_bucket()
            return None

    def _delete(self, key: str) -> None:
        try:
            obstore.delete(self.bucket.store, key)
        except FileNotFoundError:  # some stores mind
            self._require_bucket()

    def _require_bucket(self) -> None:
        """Tell a bucket that is not there from an object that is not: the answer to `head` does not."""
        for _ in obstore.list(self.bucket.store, "nothing"):
            break

    def _forget(self, digest: str) -> None:
        with _disk():
            self.cache.delete(digest)

    def _request(self, key: str) -> AbstractContextManager[None]:
        return translated(self.bucket.kind, self._url(key))

    def _url(self, key: str) -> str:
        return f"{self.bucket.url}/{key}"


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

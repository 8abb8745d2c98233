"""Bucket: a place in an object store, and what can be asked of it, each with our errors."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from vectorstore.errors import UnavailableError
from vectorstore.store.blobs.object_errors import broke, damaged, missing, no_bucket, translated

if TYPE_CHECKING:
    from obstore import ObjectMeta

ObjectStore: TypeAlias = S3Store | GCSStore | AzureStore

PART = 8 << 20  # bytes sent in one request; what is larger is sent in parts of this size
_PARTS_AT_ONCE = 2
_CHUNK = 1 << 20
_PAUSES = (0.1, 0.4, 1.6)  # seconds before an object is created once more, after a cut
_SPEAKER: dict[str, int] = {}  # which process has the driver's threads, once there are any


@dataclass(frozen=True)
class Bucket:
    """A place in an object store.

    Attributes:
        kind: `s3`, `gs` or `az`.
        url: where it is, without a slash at the end.
        store: the connection; its keys begin below the URL's prefix. It is not shown: it may know secrets.

    Every method raises:
        NotAllowedError: when credentials are missing, or the store refuses them.
        UnavailableError: when the store or the bucket is not there, or cannot do this at the moment.
    """

    kind: str
    url: str
    store: ObjectStore = field(repr=False)

    def address(self, key: str) -> str:
        """Return the URL of an object."""
        return f"{self.url}/{key}"

    def size(self, key: str) -> int | None:
        """Return how many bytes an object has; None when it is not there."""
        with self._request(key):
            return self._size(key)

    def holds(self, key: str, digest: str) -> bool:
        """Return whether the bytes of an object have this digest; all of them are read."""
        with self._request(key):
            return self._holds(key, digest)

    def read(self, key: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of an object that must have this size.

        Raises:
            IntegrityError: when it is not there, or has another size.
        """
        with self._request(key):
            try:
                found = obstore.get(self.store, key)
            except FileNotFoundError:
                self._require()
                raise missing(self.address(key)) from None
            if (present := found.meta["size"]) != size:
                raise damaged(self.address(key), f"has {present} bytes, not {size}")
            yield from found.stream(_CHUNK)

    def send(self, key: str, digest: str, data: memoryview) -> None:
        """Send the bytes of this digest, unless the object is there and is just them.

        One request creates a small object only if there is none. A large one goes in parts, which the driver cannot
        make conditional: it is looked for first, and two who send it at once send the same.
        """
        with self._request(key):
            try:
                if len(data) <= PART:
                    self._create_patiently(key, digest, data)
                elif self._size(key) != len(data) or not self._holds(key, digest):
                    self._send_parts(key, data)
            except FileNotFoundError:
                self._require()
                raise no_bucket(self.address(key)) from None

    def put(self, key: str, data: memoryview) -> None:
        """Send an object, over one that is there."""
        with self._request(key):
            try:
                obstore.put(self.store, key, data)
            except FileNotFoundError:
                self._require()
                raise no_bucket(self.address(key)) from None

    def link(self, key: str, seconds: float) -> str:
        """Return a URL from which anybody may get the object for so long."""
        with self._request(key):
            return str(obstore.sign(self.store, "GET", key, timedelta(seconds=seconds)))

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._request(key):
            try:
                obstore.delete(self.store, key)
            except FileNotFoundError:  # some stores mind
                self._require()

    def move(self, key: str, to: str) -> None:
        """Copy an object, then remove it.

        Raises:
            IntegrityError: when it is not there.
        """
        with self._request(key):
            obstore.copy(self.store, key, to)
        self.remove(key)

    def list(self, folder: str) -> Iterator[ObjectMeta]:
        """Yield the objects below `folder`, a page at a time; `path` is the key."""
        with self._request(folder):
            for page in obstore.list(self.store, folder, chunk_size=1000):
                yield from page

    def _create_patiently(self, key: str, digest: str, data: memoryview) -> None:
        """Create an object, again after a cut: the driver would not, since it cannot know whether it is there now."""
        for pause in (*_PAUSES, None):
            try:
                self._create(key, digest, data)
            except BaseError as error:
                if pause is None or not broke(error):
                    raise
                time.sleep(pause)
            else:
                return

    def _create(self, key: str, digest: str, data: memoryview) -> None:
        try:
            obstore.put(self.store, key, data, mode="create", use_multipart=False)
        except (AlreadyExistsError, NotImplementedError):
            # It is there, or comes at this moment, or the store was said to know no conditions.
            if self._size(key) != len(data) or not self._holds(key, digest):
                obstore.put(self.store, key, data, use_multipart=False)

    def _send_parts(self, key: str, data: memoryview) -> None:
        obstore.put(self.store, key, data, use_multipart=True, chunk_size=PART, max_concurrency=_PARTS_AT_ONCE)
        if (present := self._size(key)) != len(data):
            address = self.address(key)
            raise UnavailableError(f"{address} has {present} bytes after {len(data)} were sent", "save again")

    def _size(self, key: str) -> int | None:
        try:
            return obstore.head(self.store, key)["size"]
        except FileNotFoundError:
            self._require()
            return None

    def _holds(self, key: str, digest: str) -> bool:
        sha256 = hashlib.sha256()
        for chunk in obstore.get(self.store, key).stream(_CHUNK):
            sha256.update(chunk)
        return f"sha256:{sha256.hexdigest()}" == digest

    def _require(self) -> None:
        """Tell a bucket that is not there from an object that is not: most answers do not."""
        for _ in obstore.list(self.store, "nothing"):
            break

    def _request(self, key: str) -> AbstractContextManager[None]:
        if _SPEAKER.setdefault("process", os.getpid()) != os.getpid():
            # The threads that speak to the stores do not survive a fork: a request would wait for them forever.
            raise UnavailableError(
                f"{self.address(key)} cannot be used in a process that was forked from one that uses it",
                "start processes with multiprocessing's 'spawn' or 'forkserver'",
            )
        return translated(self.kind, self.address(key))

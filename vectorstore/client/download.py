"""Download: a blob in pieces, which goes on where a cut left it; of a large one also in a later process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BufferedRandom
from pathlib import Path

import httpx2
from filelock import FileLock

from vectorstore.client.connection import Connection
from vectorstore.client.files import LOCK, sweep
from vectorstore.client.library import blob_path
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.manifest import BlobEntry

LARGE = 8 << 20  # bytes from which on a blob is worth a file of its own until it is complete
PIECE = 1 << 18
FOLDER = "downloads"


def download(connection: Connection, namespace: str, entry: BlobEntry, cache: Path) -> Iterator[bytes]:
    """Yield the bytes of a blob; those of a large one once all of them are here, and have its digest.

    Raises:
        IntegrityError: when they are other ones.
        UnavailableError: when they cannot be had; what came of a large one is kept for the next time.
    """
    if entry.size < LARGE:
        yield from _Reading(connection, namespace, entry).pieces()
        return
    name = entry.digest.removeprefix("sha256:")
    path = cache / FOLDER / f"{name}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with FileLock(path.with_name(f"{name[:2]}{LOCK}")):  # locks stay, so they are few
        with path.open("a+b") as file:
            _complete(connection, namespace, entry, file)
            yield from _checked(file, entry, path)
        path.unlink(missing_ok=True)


def _complete(connection: Connection, namespace: str, entry: BlobEntry, file: BufferedRandom) -> None:
    present = file.seek(0, 2)
    if present > entry.size:
        present = file.truncate(0)
    file.writelines(_Reading(connection, namespace, entry, present).pieces())
    file.flush()


def _checked(file: BufferedRandom, entry: BlobEntry, path: Path) -> Iterator[bytes]:
    file.seek(0)
    if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != entry.digest:
        path.unlink(missing_ok=True)
        raise IntegrityError(f"other bytes than those of the blob {entry.digest[:19]} came", "try again")
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece


@dataclass
class _Reading:
    """Reading a blob from `offset` on, over as many answers as it takes."""

    connection: Connection
    namespace: str
    entry: BlobEntry
    offset: int = 0
    _answer: Iterator[bytes] | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def pieces(self) -> Iterator[bytes]:
        """Yield the rest; each piece is asked for again where the connection breaks."""
        with self._open:
            while self.offset < self.entry.size:
                piece = self.connection.again(self._piece)
                self.offset += len(piece)
                if self.offset > self.entry.size:
                    raise IntegrityError(f"more than the {self.entry.size} bytes of the blob came", "try again")
                yield piece

    def _piece(self) -> bytes:
        """Return the next bytes; after a failure the next call opens another answer."""
        if self._answer is None:
            self._answer = self._opened()
        try:
            piece = next(self._answer, b"")
        except BaseException:
            self._close()
            raise
        if not piece:  # the answer ended too early, without an error of its own
            self._close()
            raise httpx2.ReadError("the answer was cut short")
        return piece

    def _opened(self) -> Iterator[bytes]:
        headers = {}
        if self.offset:  # what a redirect leads to has another ETag, and sends all then
            headers = {"Range": f"bytes={self.offset}-", "If-Range": f'"{self.entry.digest}"'}
        answer = self._open.enter_context(self.connection.stream(blob_path(self.namespace, self.entry.digest), headers))
        start = _start(answer)
        if start > self.offset:
            raise UnavailableError("the remote sends another part than it was asked for", "try again")
        return _from(answer.iter_raw(), self.offset - start)

    def _close(self) -> None:
        self._open.close()
        self._open, self._answer = ExitStack(), None


def _start(answer: httpx2.Response) -> int:
    """Return where the bytes of an answer begin: who sends all has not understood the range, or not taken it."""
    if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0
    first = answer.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() and len(first) < 19 else 0  # noqa: PLR2004 - digits of 2**63


def _from(pieces: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for piece in pieces:
        rest = piece[skip:]
        skip = max(skip - len(piece), 0)
        if rest:
            yield rest

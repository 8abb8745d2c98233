"""Upload: a blob in one piece, or a large one in parts that go on where a cut left them, also in a later process.

Which upload is under way for a blob is kept in a small file, one for each, in the cache: without it, it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vectorstore.canonical import digest as digest_of
from vectorstore.client.connection import Connection
from vectorstore.client.files import sweep, write
from vectorstore.client.library import blob_path
from vectorstore.errors import ConflictError, IntegrityError, NotFoundError
from vectorstore.fields import Fields
from vectorstore.manifest import BlobEntry

PART = 8 << 20  # bytes; also from which on a blob is sent in parts
FOLDER = "uploads"
OCTETS = {"Content-Type": "application/octet-stream"}
Advance = Callable[[int], None]
"""Is told how many more bytes are there."""


def upload(  # noqa: PLR0913, PLR0917 - whereto, what, and how far
    connection: Connection, namespace: str, entry: BlobEntry, data: memoryview, cache: Path, advance: Advance
) -> int:
    """Send the bytes of a blob to a namespace; return how many had to be sent.

    Raises:
        UnavailableError: when they do not arrive; the parts that did are kept for the next time.
    """
    if entry.size <= PART:
        connection.document("PUT", blob_path(namespace, entry.digest), content=bytes(data), headers=OCTETS)
        advance(entry.size)
        return entry.size
    return _Parts(connection, namespace, entry, data, cache).send(advance)


@dataclass(frozen=True)
class _State:
    """How far an upload is."""

    id: str
    received: int
    finished: bool


@dataclass
class _Parts:
    connection: Connection
    namespace: str
    entry: BlobEntry
    data: memoryview
    cache: Path

    def send(self, advance: Advance) -> int:
        sweep(self._note.parent)
        state = self._resumed() or self._begun()
        advance(state.received)
        sent = 0
        while not state.finished and state.received < self.entry.size:
            before = state.received
            state = self._part(state)
            advance(state.received - before)
            sent += max(state.received - before, 0)
        if not state.finished:
            self._finish(state)
        with suppress(OSError):
            self._note.unlink()
        return sent

    @property
    def _note(self) -> Path:
        """The file that has the upload's id."""
        whose = f"{self.connection.remote.url} {self.namespace} {self.entry.digest}"
        return self.cache / FOLDER / digest_of(whose.encode()).removeprefix("sha256:")

    def _resumed(self) -> _State | None:
        try:
            found = self._note.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return self._look(found) if len(found) <= 64 and found.isalnum() else None  # noqa: PLR2004 - ids are short

    def _begun(self) -> _State:
        body = {"digest": self.entry.digest, "size": self.entry.size}
        state = self._read(self.connection.document("POST", self._path, body=body, repeatable=False))
        write(self._note, state.id)
        return state

    def _part(self, state: _State) -> _State:
        """Send one part. After a failure, what arrived of it is asked for first."""
        part = self.data[state.received : state.received + PART]
        headers = {**OCTETS, "Upload-Offset": str(state.received)}
        try:
            path = f"{self._path}/{state.id}"
            return self._read(self.connection.document("PATCH", path, content=bytes(part), headers=headers))
        except ConflictError:  # an attempt whose answer was lost, or another program, was there before
            now = self._look(state.id) or self._begun()
            if now == state:
                raise
            return now

    def _finish(self, state: _State) -> None:
        try:
            self.connection.document("POST", f"{self._path}/{state.id}/finish")
        except IntegrityError:
            with suppress(OSError):
                self._note.unlink()
            raise

    def _look(self, upload: str) -> _State | None:
        """Return how far an upload is; None where it has expired."""
        try:
            return self._read(self.connection.document("GET", f"{self._path}/{upload}"))
        except NotFoundError:
            return None

    def _read(self, document: object) -> _State:
        fields = Fields(document, "an upload")
        state = _State(fields.text("id"), fields.integer("received"), fields.maybe("finished", bool) or False)
        if not state.id.isalnum() or not state.id.isascii() or state.received > self.entry.size:
            raise IntegrityError("the remote answers with an upload that cannot be", "tell whoever runs it")
        return state

    @property
    def _path(self) -> str:
        return f"/v1/{self.namespace}/uploads"

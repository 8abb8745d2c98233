"""Receive: bring in a version that another library, a file or a registry has; everything is checked as a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from sqlalchemy import select

from vectorstore.canonical import digest
from vectorstore.codec import MAX_BLOB
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.manifest import (
    ITEMS_BLOB,
    MAX_MANIFEST,
    NAME_ANNOTATION,
    RECIPE_BLOB,
    VECTOR_BLOB,
    BlobEntry,
    Manifest,
)
from vectorstore.store import catalogue
from vectorstore.store.blobs.protocol import Staged
from vectorstore.store.draft import About, Draft
from vectorstore.store.save import check_name, commit_blobs
from vectorstore.store.schema import BlobRow, VersionRow
from vectorstore.store.store import Store
from vectorstore.store.texts import split_name
from vectorstore.store.upkeep.stored_draft import stored_draft
from vectorstore.store.version import Saved, Version

Fetch = Callable[[BlobEntry], Iterable[bytes]]
"""What brings the bytes of a blob, in pieces."""

MAX_NUMBER = 10**8 - 1  # of versions that come with one: references have nine digits, and numbers must go on
MAX_SIZES = {VECTOR_BLOB: MAX_BLOB, ITEMS_BLOB: 1 << 26, RECIPE_BLOB: 1 << 24}  # bytes
MAX_MARKS = 1 << 22  # brackets, commas and colons of items: whoever reads the vector holds what they stand for
_LAYOUTS = {"vector": ((VECTOR_BLOB,), (VECTOR_BLOB, ITEMS_BLOB)), "recipe": ((RECIPE_BLOB,),)}
_CHUNK = 1 << 20
_AGAIN = "get it again from where it came"


def receive(
    store: Store, manifest: bytes, fetch: Fetch, *, name: str | None = None, number: int | None = None
) -> Saved:
    """Bring in a version; its digest stays what it is, and what it pins has to be here already.

    Only blobs whose bytes are not here are fetched. Where anything is wrong, nothing is left behind.

    Args:
        store: the library that gets it.
        manifest: its bytes.
        fetch: brings a blob; whatever it raises is passed on.
        name: `namespace/name` that it shall have here; otherwise its manifest's.
        number: the one that it shall keep; otherwise the next one of its name.

    Returns:
        The version; the one that is here already, where the name has a version of this digest.

    Raises:
        IntegrityError: for a manifest or bytes that are not what they should be.
        ConflictError: when the name belongs to the other kind, or the number to another version, or a deleted one.
        NotFoundError: when a version that it pins, or a parent, is not in the library.
        UnavailableError: when database or disk cannot take it.
    """
    read = read_manifest(manifest)
    outline = _outline(read, name, number)
    if (present := _foreseen(store, outline)) is not None:
        return Saved(present, created=False)
    with ExitStack() as stack:
        arrived = _Arrived(store, fetch, stack)
        for entry in read.blobs:
            arrived.take(entry)
        draft = replace(stored_draft(read, arrived.open), namespace=outline.namespace, name=outline.name, number=number)
        arrived.stage(manifest)
        return commit_blobs(store.database, store.blobs, draft, arrived.staged, arrived.present)


def foresee(store: Store, manifest: bytes, *, name: str | None = None, number: int | None = None) -> Version | None:
    """Return the version that is here already; None where `receive` would bring in a new one.

    Raises:
        IntegrityError: for a manifest that is not what it should be.
        ConflictError: as `receive` would.
    """
    return _foreseen(store, _outline(read_manifest(manifest), name, number))


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest that somebody else made, and check that its blobs are of the kinds and sizes that there are.

    Raises:
        IntegrityError: for anything else.
    """
    if len(data) > MAX_MANIFEST:
        raise IntegrityError(f"the manifest has {len(data)} bytes", f"{MAX_MANIFEST} are allowed")
    manifest = Manifest.from_bytes(data)
    types = tuple(entry.media_type for entry in manifest.blobs)
    if types not in _LAYOUTS[manifest.kind]:
        raise IntegrityError(f"the {manifest.kind} has other blobs than it may have: {', '.join(types)[:200]}", _AGAIN)
    for entry in manifest.blobs:
        if not 0 < entry.size <= MAX_SIZES[entry.media_type]:
            raise IntegrityError(
                f"the blob {entry.digest[:19]} would have {entry.size} bytes",
                f"1 to {MAX_SIZES[entry.media_type]} are allowed",
            )
    return manifest


def _whole(chunks: Iterable[bytes], entry: BlobEntry) -> Iterator[bytes]:
    """Yield what a stranger sends of a blob, up to its size.

    Raises:
        IntegrityError: when more comes.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > entry.size:
            raise IntegrityError(f"more than the {entry.size} bytes of the blob {entry.digest[:19]} came", _AGAIN)
        yield chunk


def _outline(manifest: Manifest, name: str | None, number: int | None) -> Draft:
    """Return what the manifest alone, and who brings it, say of the version."""
    if number is not None and not 0 < number <= MAX_NUMBER:
        raise InvalidInputError(f"a version's number cannot be {number}", f"1 to {MAX_NUMBER} are possible")
    try:
        namespace, short = split_name(manifest.annotations.get(NAME_ANNOTATION, ""))
    except InvalidInputError as error:
        raise IntegrityError(f"the manifest's name is wrong: {error.problem}", error.hint) from error
    if name is not None:
        namespace, short = split_name(name)
    return Draft(namespace, short, About(), manifest, (), number=number)


def _foreseen(store: Store, outline: Draft) -> Version | None:
    """Look before anything is fetched; a version whose bytes are gone counts as new, so that they are fetched again."""
    full_name = f"{outline.namespace}/{outline.name}"
    same = select(VersionRow.id).where(VersionRow.digest == outline.manifest.digest, VersionRow.full_name == full_name)
    with store.database.read() as session:
        check_name(session, outline)
        if (found := session.scalar(same)) is None:
            return None
        version = catalogue.load(session, found)
    try:
        for entry in (*version.blobs, outline.manifest.entry):
            store.blobs.verify(entry.digest, entry.size, full=False)
    except IntegrityError:
        return None
    return version


def check_marks(items: memoryview) -> None:
    """Refuse items that would take more memory than may be, whoever reads them.

    Raises:
        IntegrityError: for such items.
    """
    marks = 0
    for start in range(0, len(items), _CHUNK):
        some = bytes(items[start : start + _CHUNK])
        marks += sum(map(some.count, (b"[", b"{", b",", b":")))
    if marks > MAX_MARKS:
        raise IntegrityError(f"its items have {marks} brackets, commas and colons", f"{MAX_MARKS} are allowed")


@dataclass
class _Arrived:
    """The bytes of a version that comes in: those that were here, and those that are staged."""

    store: Store
    fetch: Fetch
    stack: ExitStack
    staged: list[Staged] = field(default_factory=list)
    present: list[BlobEntry] = field(default_factory=list)
    views: dict[str, memoryview] = field(default_factory=dict)

    def take(self, entry: BlobEntry) -> None:
        """Have a blob: from here, or fetched."""
        if entry.digest in self.views:
            return
        if (view := self._here(entry)) is not None:
            self.present.append(entry)
            self.views[entry.digest] = view
        else:
            self._fetched(entry)
        if entry.media_type == ITEMS_BLOB:
            check_marks(self.views[entry.digest])

    def _fetched(self, entry: BlobEntry) -> None:
        staged = self.stage(_whole(self.fetch(entry), entry))
        if (staged.digest, staged.size) != (entry.digest, entry.size):
            raise IntegrityError(
                f"the blob {entry.digest[:19]} came with {staged.size} bytes of digest {staged.digest[:19]}",
                f"it has {entry.size}; {_AGAIN}",
            )

    def stage(self, data: bytes | Iterable[bytes]) -> Staged:
        """Write bytes where nobody looks yet; what is not published is removed at the end."""
        views: list[memoryview] = []
        staged = self.store.blobs.stage(data, views.append)
        self.stack.callback(staged.discard)
        self.staged.append(staged)
        self.views[staged.digest] = views[0]
        return staged

    def open(self, name: str, size: int) -> memoryview:
        """Return the bytes of a blob that was taken."""
        view = self.views[name]
        if len(view) != size:
            raise IntegrityError(f"the manifest gives the blob {name[:19]} two sizes", _AGAIN)
        return view

    def _here(self, entry: BlobEntry) -> memoryview | None:
        """Return the bytes that the library has of a blob, unless they are damaged."""
        live = select(BlobRow.digest).where(BlobRow.digest == entry.digest, BlobRow.state == "live")
        with self.store.database.read() as session:
            if session.scalar(live) is None:
                return None
        try:
            self.store.blobs.verify(entry.digest, entry.size, full=False)
            view = self.store.blobs.open(entry.digest, entry.size)
        except IntegrityError:
            return None
        return view if digest(view) == entry.digest else None

"""Push: versions of the library go to a remote, with all that they pin and their parents; nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vectorstore.canonical import Json
from vectorstore.client import sightings
from vectorstore.client.library import Library, blob_path
from vectorstore.client.there import There
from vectorstore.client.things import body_of, newer, said_at_first, said_of
from vectorstore.client.upload import upload
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.manifest import BlobEntry, Manifest
from vectorstore.reference import check_name
from vectorstore.settings import Settings
from vectorstore.store import Store
from vectorstore.store.upkeep.stored_draft import about_of
from vectorstore.store.version import Version
from vectorstore.transfer.closure import closure

Advance = Callable[[int, int], None]
"""(how many bytes are there, of how many)."""


@dataclass(frozen=True)
class Target:
    """Where versions go.

    Attributes:
        remote: its name.
        namespace: there; None for the versions' own.
        name: there; None for the versions' own.
    """

    remote: str
    namespace: str | None = None
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `acme`, `acme//team/` or `acme//team/love`.

        Raises:
            InvalidInputError: for anything else.
        """
        remote, slashes, rest = text.partition("//")
        namespace, slash, name = rest.partition("/")
        check_name(remote, "remote")
        if not slashes:
            return cls(remote)
        if not slash:
            raise InvalidInputError(
                f"'{text[:100]}' has no namespace", f"write {remote}//{namespace[:60] or 'team'}/, with a / after it"
            )
        return cls(remote, check_name(namespace, "namespace"), check_name(name) if name else None)


@dataclass
class Pushed:
    """What a push did.

    Attributes:
        remote: whereto.
        new: versions that went there, by reference here: what they are called there.
        present: those that were there already, likewise.
        aliases: that were moved there: `team/love@prod`.
        proposed: aliases that move once somebody else has approved it.
        sent: bytes.
    """

    remote: str
    new: dict[str, str] = field(default_factory=dict)
    present: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    sent: int = 0

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return dict(vars(self))


def push(  # noqa: PLR0913 - whence, whereto, what, and how
    store: Store,
    library: Library,
    references: Sequence[str],
    target: Target,
    *,
    aliases: Sequence[str] = (),
    advance: Advance | None = None,
) -> Pushed:
    """Send versions, with what they pin and their parents.

    Args:
        store: where they are.
        library: the remote's.
        references: the versions.
        target: where they go. With a namespace, what they need goes there too.
        aliases: that shall mean the versions of `references` there; they move.
        advance: is told how far it is.

    Raises:
        InvalidInputError: for several versions under one name.
        VectorstoreError: as the remote says; what went there until then is complete.
    """
    wanted = {store.resolve(reference).digest for reference in references}
    if target.name and len(wanted) > 1:
        raise InvalidInputError(
            f"{len(wanted)} versions would all be {target.name}", "push them one by one, or without a name"
        )
    versions = closure(store, references)
    sending = _Sending(store, library, versions, advance or (lambda _done, _total: None))
    for version in versions:
        full_name = _name(version, target, asked=version.digest in wanted)
        there = sending.version(version, full_name)
        sightings.note(store, library.remote, str(there), there.digest)
        if version.digest in wanted:
            for alias in aliases:
                moved = library.set_alias(there, alias)
                (sending.pushed.aliases if moved else sending.pushed.proposed).append(f"{full_name}@{alias}")
    return sending.pushed


def _name(version: Version, target: Target, *, asked: bool) -> str:
    name = target.name if asked and target.name else version.name
    return f"{target.namespace or version.namespace}/{name}"


class _Sending:
    """One push."""

    def __init__(self, store: Store, library: Library, versions: Sequence[Version], advance: Advance) -> None:
        self.store, self.library, self.advance = store, library, advance
        self.pushed = Pushed(library.remote.name)
        self._total = sum(blob.size for version in versions for blob in version.blobs)
        self._done = 0
        self._cache: Path = Settings.load().cache

    def version(self, version: Version, full_name: str) -> There:
        """Send a version, unless it is there; then say of it there what is said of it here."""
        data = self.store.read_manifest(version)
        there = self._present(version, full_name)
        report = self.pushed.new if there is None else self.pushed.present
        for blob in version.blobs:
            self._blob(full_name.partition("/")[0], blob, known=there is not None)
        if there is None:
            there = self.library.put_manifest(version.kind, full_name, version.digest, data)
        report[version.reference] = str(there)
        first = said_at_first(about_of(Manifest.from_bytes(data)))
        body = body_of(newer(first, said_of(there), said_of(version)))
        return self.library.change(there, body) if body else there

    def _present(self, version: Version, full_name: str) -> There | None:
        try:
            return self.library.show(version.kind, full_name, version.digest)
        except NotFoundError:
            return None

    def _blob(self, namespace: str, entry: BlobEntry, *, known: bool) -> None:
        connection = self.library.connection
        if known or connection.has(blob_path(namespace, entry.digest)):
            self._count(entry.size)
            return
        view = self.store.blobs.open(entry.digest, entry.size)
        self.pushed.sent += upload(connection, namespace, entry, view, self._cache, self._count)

    def _count(self, size: int) -> None:
        self._done += size
        self.advance(self._done, self._total)

"""Push: versions of the library go to a remote, with all that they pin and their parents; nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vectorstore.canonical import Json
from vectorstore.client import sightings
from vectorstore.client.library import Library
from vectorstore.client.reviews import move
from vectorstore.client.there import There
from vectorstore.client.things import body_of, newer, said_at_first, said_of
from vectorstore.client.upload import upload
from vectorstore.errors import InvalidInputError, NotFoundError, VectorstoreError
from vectorstore.manifest import Manifest
from vectorstore.reference import check_name
from vectorstore.settings import Settings
from vectorstore.store import Store
from vectorstore.store.upkeep.stored_draft import about_of
from vectorstore.store.version import Version
from vectorstore.transfer.closure import closure

SMALL = 1 << 18  # bytes of a version's blobs that go with its manifest: one request instead of several
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
        proposed: aliases that move once somebody else has approved it, and the number of the proposal.
        sent: bytes.
    """

    remote: str
    new: dict[str, str] = field(default_factory=dict)
    present: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    proposed: dict[str, int] = field(default_factory=dict)
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
    named = [(version, _name(version, target, asked=version.digest in wanted)) for version in versions]
    sending = _Sending(store, library, named, advance or (lambda _done, _total: None))
    for version, full_name in named:
        there = sending.version(version, full_name)
        sightings.note(store, library.remote, str(there), there.digest)
        if version.digest in wanted:
            for alias in aliases:
                proposal = move(library, there, alias)
                if proposal is None:
                    sending.pushed.aliases.append(f"{full_name}@{alias}")
                else:
                    sending.pushed.proposed[f"{full_name}@{alias}"] = proposal.id
    return sending.pushed


def _name(version: Version, target: Target, *, asked: bool) -> str:
    name = target.name if asked and target.name else version.name
    return f"{target.namespace or version.namespace}/{name}"


_Named = tuple[Version, str]
"""A version, and its full name there."""


class _Sending:
    """One push. What is there already is asked at once, for all versions and for all blobs."""

    def __init__(self, store: Store, library: Library, named: Sequence[_Named], advance: Advance) -> None:
        self.store, self.library, self.advance = store, library, advance
        self.pushed = Pushed(library.remote.name)
        self._total = sum(blob.size for version, _ in named for blob in version.blobs)
        self._done = 0
        self._cache: Path = Settings.load().cache
        self._there = self._present(named)
        self._absent = self._to_send(named)

    def version(self, version: Version, full_name: str) -> There:
        """Send a version, unless it is there; then say of it there what is said of it here."""
        data = self.store.read_manifest(version)
        there = self._there[full_name, version.digest]
        report = self.pushed.new if there is None else self.pushed.present
        if there is None:
            there = self._sent(version, full_name, data)
        else:
            self._count(sum(blob.size for blob in version.blobs))
        report[version.reference] = str(there)
        first = said_at_first(about_of(Manifest.from_bytes(data)))
        body = body_of(newer(first, said_of(there), said_of(version)))
        return self.library.change(there, body) if body else there

    def _present(self, named: Sequence[_Named]) -> dict[tuple[str, str], There | None]:
        """Return what is there already, by name and digest."""
        wanted = [(full_name, version.digest) for version, full_name in named]
        found = self.library.resolve_all([f"{full_name}@{digest}" for full_name, digest in wanted])
        for each in found:
            if isinstance(each, VectorstoreError) and not isinstance(each, NotFoundError):
                raise each
        there = (None if isinstance(each, VectorstoreError) else each for each in found)
        return dict(zip(wanted, there, strict=True))

    def _to_send(self, named: Sequence[_Named]) -> set[tuple[str, str]]:
        """Return the blobs that are not there: (namespace, digest)."""
        wanted: dict[str, dict[str, None]] = {}
        for version, full_name in named:
            if self._there[full_name, version.digest] is None:
                blobs = wanted.setdefault(full_name.partition("/")[0], {})
                blobs.update((blob.digest, None) for blob in version.blobs)
        return {(where, each) for where, some in wanted.items() for each in self.library.absent(where, list(some))}

    def _sent(self, version: Version, full_name: str, manifest: bytes) -> There:
        namespace = full_name.partition("/")[0]
        absent = [blob for blob in version.blobs if (namespace, blob.digest) in self._absent]
        blobs: list[bytes] = []
        if len(absent) == len(version.blobs) and sum(blob.size for blob in absent) <= SMALL:
            blobs = [bytes(self.store.blobs.open(blob.digest, blob.size)) for blob in absent]
            self.pushed.sent += sum(map(len, blobs))
        else:
            for blob in absent:
                view = self.store.blobs.open(blob.digest, blob.size)
                self.pushed.sent += upload(self.library.connection, namespace, blob, view, self._cache, self._count)
        there = self.library.put_version(version.kind, full_name, version.digest, manifest, blobs)
        for blob in version.blobs:
            if blobs or blob not in absent:
                self._count(blob.size)
        self._absent -= {(namespace, blob.digest) for blob in absent}
        return there

    def _count(self, size: int) -> None:
        self._done += size
        self.advance(self._done, self._total)

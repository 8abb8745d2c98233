"""Pull: versions of a remote come into the library, with all that they need; everything is checked as a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from vectorstore.canonical import Json
from vectorstore.client import sightings
from vectorstore.client.download import download
from vectorstore.client.library import Library
from vectorstore.client.offers import Offer, gather
from vectorstore.client.there import There
from vectorstore.client.things import change_of, newer, said_at_first, said_of
from vectorstore.errors import ConflictError, NotFoundError
from vectorstore.manifest import BlobEntry
from vectorstore.reference import short_name
from vectorstore.settings import Settings
from vectorstore.store import Store
from vectorstore.store.receive import foresee, receive
from vectorstore.store.texts import split_name
from vectorstore.store.upkeep.stored_draft import about_of
from vectorstore.store.version import Saved, Version

SHOWN = 10
Advance = Callable[[int, int], None]
"""(how many bytes came, of how many)."""


@dataclass
class Pulled:
    """What a pull did.

    Attributes:
        versions: what was asked for, as it is here now.
        new: references of all that came in, with what was needed.
        aliases: that were set here: `team/love@prod`.
        kept: aliases that mean another version here, and were left as they are.
    """

    versions: list[Version] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __iadd__(self, other: Pulled) -> Self:
        """Count in what another pull did."""
        for name, value in vars(self).items():
            value.extend(getattr(other, name))
        return self

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return {**vars(self), "versions": [version.to_json() for version in self.versions]}


def pull(  # noqa: PLR0913 - whence, whereto, what, and how
    library: Library,
    store: Store,
    wanted: Sequence[There],
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    renumber: bool = False,
    advance: Advance | None = None,
) -> Pulled:
    """Bring versions in, with what they pin and their parents, under their names and numbers.

    What is only needed never becomes the newest version of a name that others than this remote gave versions to: a bare
    name would mean something else, and nobody asked for that.

    Args:
        library: the remote's.
        store: where they go.
        wanted: the versions.
        name: what the one that is wanted shall be called here; what it needs goes to the same namespace, and all get
            numbers of their own.
        aliases: that they shall have here; one that means another version stays.
        renumber: let one whose number is taken here have the next one.
        advance: is told how far it is.

    Raises:
        ConflictError: when a name or number means something else here, or would; nothing comes in then.
        VectorstoreError: as the remote says, and as for `receive`; what came in until then is sound.
    """
    offers = gather(library, store if name is None else None, wanted)
    names = _names(offers, wanted, name)
    numbers = {offer.there.digest: None if name is not None else offer.there.number for offer in offers}
    absent = _foresee(store, offers, names, numbers, renumber=renumber)
    if name is None:
        _require_own_names(store, library, absent, wanted, numbers)
    fetching = Fetching(library, absent, advance or (lambda _done, _total: None))
    pulled = Pulled()
    for offer in offers:
        own = offer.there.digest
        saved = receive(store, offer.data, fetching.blob, name=names[own], number=numbers[own])
        version = settle(store, offer, saved)
        if saved.created:
            pulled.new.append(version.reference)
            sightings.note(store, library.remote, offer.there.pinned, own)
        if any(own == each.digest for each in wanted):
            sightings.note(store, library.remote, str(offer.there), own)
            pulled.versions.append(_with_aliases(store, version, aliases, pulled))
    return pulled


def settle(store: Store, offer: Offer, saved: Saved) -> Version:
    """Say of a version what is said of it at the remote, except for what was said anew here."""
    first, mine = said_at_first(about_of(offer.manifest)), said_of(saved.version)
    if not (wanted := newer(first, mine, said_of(offer.there))):
        return saved.version
    return store.change(str(saved.version), *(change_of(thing, value) for thing, value in wanted.items()))


class Fetching:
    """Brings blobs of offers, each from a namespace that has it."""

    def __init__(self, library: Library, offers: Sequence[Offer], advance: Advance) -> None:
        """Note where each blob is."""
        self._connection = library.connection
        self._cache = Settings.load().cache
        self._namespaces = {
            blob.digest: offer.there.namespace for offer in reversed(offers) for blob in offer.manifest.blobs
        }
        self._total = sum({blob.digest: blob.size for offer in offers for blob in offer.manifest.blobs}.values())
        self._done = 0
        self._advance = advance

    def blob(self, entry: BlobEntry) -> Iterator[bytes]:
        """Yield a blob."""
        for piece in download(self._connection, self._namespaces[entry.digest], entry, self._cache):
            self._done += len(piece)
            self._advance(self._done, max(self._total, self._done))
            yield piece


def _names(offers: Sequence[Offer], wanted: Sequence[There], name: str | None) -> dict[str, str]:
    """Return what each shall be called here, by digest."""
    if name is None:
        return {offer.there.digest: offer.there.full_name for offer in offers}
    namespace, short = split_name(name)
    names = {offer.there.digest: f"{namespace}/{offer.there.name}" for offer in offers}
    return names | {each.digest: f"{namespace}/{short}" for each in wanted}


def _foresee(
    store: Store, offers: Sequence[Offer], names: dict[str, str], numbers: dict[str, int | None], *, renumber: bool
) -> list[Offer]:
    """Return what is not here; refuse all where one could not come in. With `renumber`, taken numbers are forgotten."""
    absent: list[Offer] = []
    conflicts: list[str] = []
    for offer in offers:
        own = offer.there.digest
        try:
            present, numbers[own] = _foresee_one(store, offer, names[own], numbers[own], renumber=renumber)
        except ConflictError as error:
            conflicts.append(error.problem)
            continue
        if present is None:
            absent.append(offer)
    if conflicts:
        more = f", and {len(conflicts) - SHOWN} more like these" if len(conflicts) > SHOWN else ""
        raise ConflictError(
            f"nothing came in: {', '.join(conflicts[:SHOWN])}{more}", "pull it under another name: --as NAME"
        )
    return absent


def _require_own_names(
    store: Store, library: Library, absent: Sequence[Offer], wanted: Sequence[There], numbers: dict[str, int | None]
) -> None:
    """Refuse what nobody asked for and would become the newest version of a name that is not this remote's alone."""
    asked = {each.digest for each in wanted}
    needs = [offer.there for offer in absent if offer.there.digest not in asked]
    taken = [
        each for each in needs if sightings.has_others(store, library.remote, each.full_name, numbers[each.digest])
    ]
    if taken:
        named = ", ".join(map(str, taken[:SHOWN])) + (" and others" if len(taken) > SHOWN else "")
        raise ConflictError(
            f"nothing came in: {named} would become the newest of versions that did not come from there",
            "pull what it is by its own name first, if that is meant, or all under another: --as NAME",
        )


def _foresee_one(
    store: Store, offer: Offer, name: str, number: int | None, *, renumber: bool
) -> tuple[Version | None, int | None]:
    """Return the version where it is here, and the number that it can have."""
    try:
        return foresee(store, offer.data, name=name, number=number), number
    except ConflictError:
        if not renumber or number is None:
            raise
        return foresee(store, offer.data, name=name), None


def _with_aliases(store: Store, version: Version, aliases: Sequence[str], pulled: Pulled) -> Version:
    """Set aliases that mean nothing here yet."""
    for alias in aliases:
        named = f"{version.full_name}@{alias}"
        try:
            present = store.resolve(named)
        except NotFoundError:
            version = store.set_alias(str(version), alias)
            pulled.aliases.append(short_name(named))
            continue
        if present.digest != version.digest:
            pulled.kept.append(short_name(named))
    return version

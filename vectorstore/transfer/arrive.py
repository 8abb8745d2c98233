"""Arrive: bring versions that travel together into a library: looked at first, all of them, then received."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, NotFoundError, VectorstoreError
from vectorstore.manifest import NAME_ANNOTATION
from vectorstore.reference import Reference, check_name, parse_reference, short_name
from vectorstore.store import Store
from vectorstore.store.receive import Fetch, foresee, read_manifest, receive
from vectorstore.store.version import Version

SHOWN = 10


@dataclass(frozen=True)
class Offer:
    """A version that could come in.

    Attributes:
        manifest: its bytes.
        name: `namespace/name` that it shall have; None for its manifest's.
        number: the one it shall keep; None for the next one.
        aliases: that it shall have, where the name has none of these yet.
    """

    manifest: bytes
    name: str | None = None
    number: int | None = None
    aliases: tuple[str, ...] = ()

    def renamed(self, namespace: str | None, *, renumber: bool) -> Offer:
        """Return the offer for another namespace, or without its number."""
        name = self.full_name
        if namespace is not None:
            name = f"{check_name(namespace, 'namespace')}/{name.rpartition('/')[2]}"
        return replace(self, name=name, number=None if renumber else self.number)

    @property
    def full_name(self) -> str:
        """`namespace/name` that it shall have."""
        return self.name or read_manifest(self.manifest).annotations.get(NAME_ANNOTATION, "")

    def __str__(self) -> str:
        """`acme/love@2`, or `love` where it gets the next number."""
        return short_name(self.full_name) + (f"@{self.number}" if self.number else "")


@dataclass
class Arrived:
    """What came in, or would.

    Attributes:
        new: references of the versions that came in; of a dry run those that would.
        present: references of the versions that were here already.
        aliases: that were set, or would be: `love@prod`.
        kept: aliases that mean another version here, and were left as they are.
        dry: whether nothing was changed.
    """

    new: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dry: bool = False

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return dict(vars(self))


Advance = Callable[[int, int], None]
"""(how many are done, of how many)."""


def arrive(
    store: Store, offers: Sequence[Offer], fetch: Fetch, *, dry_run: bool = False, advance: Advance | None = None
) -> Arrived:
    """Bring versions in, each after those it needs; nothing comes in where one of them cannot have its name or number.

    Args:
        store: the library.
        offers: the versions; quickest where each comes after what it needs.
        fetch: brings a blob.
        dry_run: only say what would come in.
        advance: is told how far it is.

    Raises:
        ConflictError: listing all that contradicts what is here, or each other.
        NotFoundError: when something that a version pins is neither here nor among them.
        VectorstoreError: as for `receive`; the message says what came in before.
    """
    arrived = Arrived(dry=dry_run)
    foreseen = _foresee(store, offers)
    if dry_run:
        for offer, version in zip(offers, foreseen, strict=True):
            (arrived.present if version else arrived.new).append(version.reference if version else str(offer))
            _set_aliases(store, offer, version, arrived)
        return arrived
    try:
        _receive(store, offers, fetch, arrived, advance or (lambda _done, _total: None))
    except VectorstoreError as error:
        if not arrived.new:
            raise
        listed = ", ".join(arrived.new[:SHOWN]) + (" and others" if len(arrived.new) > SHOWN else "")
        raise type(error)(f"{error.problem}; until then {listed} came in, and are sound", error.hint) from error
    return arrived


def _foresee(store: Store, offers: Iterable[Offer]) -> list[Version | None]:
    """Return which versions are here already; refuse all where one could not come in."""
    found: list[Version | None] = []
    conflicts: list[str] = []
    kinds: dict[str, str] = {}
    taken: dict[str, bytes] = {}
    for offer in offers:
        try:
            found.append(foresee(store, offer.manifest, name=offer.name, number=offer.number))
        except ConflictError as error:
            conflicts.append(error.problem)
        if kinds.setdefault(offer.full_name, kind := read_manifest(offer.manifest).kind) != kind:
            conflicts.append(f"{short_name(offer.full_name)} would be a vector and a recipe")
        if offer.number and taken.setdefault(str(offer), offer.manifest) != offer.manifest:
            conflicts.append(f"{offer} would be two versions")
    if conflicts:
        more = f", and {len(conflicts) - SHOWN} more like these" if len(conflicts) > SHOWN else ""
        raise ConflictError(
            f"nothing came in: {', '.join(conflicts[:SHOWN])}{more}", "bring them in with --as NAMESPACE, or --renumber"
        )
    return found


def _receive(store: Store, offers: Sequence[Offer], fetch: Fetch, arrived: Arrived, advance: Advance) -> None:
    waiting = offers
    while waiting:
        later: list[Offer] = []
        for offer in waiting:
            try:
                saved = receive(store, offer.manifest, fetch, name=offer.name, number=offer.number)
            except NotFoundError as error:  # it may come after what needs it
                later.append(offer)
                missing = error
                continue
            (arrived.new if saved.created else arrived.present).append(saved.version.reference)
            _set_aliases(store, offer, saved.version, arrived)
            advance(len(arrived.new) + len(arrived.present), len(offers))
        if len(later) == len(waiting):
            raise missing
        waiting = later


def _set_aliases(store: Store, offer: Offer, version: Version | None, arrived: Arrived) -> None:
    """Set the aliases that mean nothing here; one that means another version stays."""
    for alias in offer.aliases:
        named = replace(parse_reference(offer.full_name), alias=alias)
        present = _resolve(store, named)
        if present is None:
            if not arrived.dry and version is not None:
                store.set_alias(str(version), alias)
            arrived.aliases.append(str(named))
        elif version is None or present.digest != version.digest:
            arrived.kept.append(str(named))


def _resolve(store: Store, reference: Reference) -> Version | None:
    try:
        return store.resolve(reference)
    except NotFoundError:
        return None

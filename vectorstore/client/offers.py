"""Offers: versions of a remote with all that they pin and their parents, each after those it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from sqlalchemy import select

from vectorstore.client.library import Library
from vectorstore.client.there import Place, There
from vectorstore.errors import IntegrityError, InvalidInputError, VectorstoreError
from vectorstore.manifest import Manifest
from vectorstore.store import Store
from vectorstore.store.receive import read_manifest
from vectorstore.store.schema import VersionRow
from vectorstore.store.upkeep.stored_draft import about_of
from vectorstore.transfer.closure import MAX_VERSIONS

MAX_MANIFESTS = 1 << 17  # bytes of a manifest, on an average of all that travel together


@dataclass(frozen=True)
class Offer:
    """A version that can come in.

    Attributes:
        there: what and where it is.
        data: its manifest's bytes.
        manifest: the same, read.
    """

    there: There
    data: bytes
    manifest: Manifest


def gather(library: Library, store: Store | None, wanted: Iterable[There]) -> list[Offer]:
    """Return offers of versions and of what they need; with `store`, as far as it does not have that under its name.

    What is wanted itself is always among them.

    Raises:
        VectorstoreError: when something that they need cannot be had.
        InvalidInputError: for too many at once.
    """
    offers: dict[str, Offer] = {}
    level = {each.digest: each for each in wanted}
    while level:
        _require_few(len(offers) + len(level))
        offers |= {each.digest: _offer(library, each) for each in level.values()}
        _require_few(sum(len(each.data) for each in offers.values()) // MAX_MANIFESTS)
        needs = {each.digest: each for offer in offers.values() for each in offer.there.needs}
        absent = [each for each in needs.values() if each.digest not in offers]
        _require_few(len(offers) + len(absent))
        level = _looked_up(library, absent if store is None else _absent(store, absent))
    return _ordered(offers)


def _looked_up(library: Library, places: list[Place]) -> dict[str, There]:
    found: dict[str, There] = {}
    for place, answer in zip(places, library.resolve_all([each.pinned for each in places]), strict=True):
        if isinstance(answer, VectorstoreError):
            raise type(answer)(f"it needs {place}: {answer.problem}", answer.hint)
        found[place.digest] = answer
    return found


def _absent(store: Store, places: Iterable[Place]) -> list[Place]:
    """Return those that the library does not have under their names."""
    wanted = {each.digest: each for each in places}
    if not wanted:
        return []
    query = select(VersionRow.full_name, VersionRow.digest).where(VersionRow.digest.in_(list(wanted)))
    with store.database.look() as connection:
        here = {(full_name, digest) for full_name, digest in connection.execute(query)}
    return [each for each in wanted.values() if (each.full_name, each.digest) not in here]


def _ordered(offers: dict[str, Offer]) -> list[Offer]:
    """Return each after those it needs."""
    sorter = TopologicalSorter(
        {name: [need.digest for need in offer.there.needs if need.digest in offers] for name, offer in offers.items()}
    )
    try:
        return [offers[name] for name in sorter.static_order()]
    except CycleError as error:
        raise IntegrityError("a version of the remote needs itself", "tell whoever runs it") from error


def _offer(library: Library, there: There) -> Offer:
    """Return a version with its manifest, and with what it needs; most vectors need nothing, as their manifests say."""
    data = library.manifest(there)
    manifest = read_manifest(data)
    if manifest.kind != there.kind:
        raise IntegrityError(f"{there} is a {manifest.kind}, not a {there.kind}", "tell whoever runs the remote")
    if manifest.kind == "recipe" or about_of(manifest).parents:
        there = library.show(there.kind, there.full_name, there.digest)
    return Offer(there, data, manifest)


def _require_few(count: int) -> None:
    if count > MAX_VERSIONS:
        raise InvalidInputError(f"more than {MAX_VERSIONS} versions would travel together", "pull fewer at once")

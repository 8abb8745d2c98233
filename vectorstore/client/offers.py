"""Offers: versions of a remote with all that they pin and their parents, each after those it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from vectorstore.client.library import Library
from vectorstore.client.there import Place, There
from vectorstore.errors import IntegrityError, InvalidInputError, VectorstoreError
from vectorstore.manifest import Manifest
from vectorstore.store import Store
from vectorstore.store.receive import read_manifest
from vectorstore.store.schema import VersionRow
from vectorstore.transfer.closure import MAX_VERSIONS


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
    asked: dict[str, There] = {each.digest: each for each in wanted}
    found: dict[str, There] = {}
    level = dict(asked)
    while level:
        if len(found) + len(level) > MAX_VERSIONS:
            raise InvalidInputError(f"more than {MAX_VERSIONS} versions would travel together", "pull fewer at once")
        shown = [library.show(each.kind, each.full_name, each.digest) for each in level.values()]
        found |= {each.digest: each for each in shown}
        needs = {each.digest: each for one in shown for each in one.needs if each.digest not in found}
        level = _looked_up(library, list(needs.values()) if store is None else _absent(store, needs.values()))
    return [_offer(library, each) for each in _ordered(found)]


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


def _ordered(found: dict[str, There]) -> list[There]:
    """Return each after those it needs."""
    order: dict[str, There] = {}
    for start in found.values():
        stack, under_way = [start], set[str]()
        while stack:
            each = stack[-1]
            waiting = [found[need.digest] for need in each.needs if need.digest in found and need.digest not in order]
            if each.digest in order or not waiting:
                order.setdefault(stack.pop().digest, each)
                continue
            if each.digest in under_way:
                raise IntegrityError(f"{each} needs itself", "tell whoever runs the remote")
            under_way.add(each.digest)
            stack += waiting
    return list(order.values())


def _offer(library: Library, there: There) -> Offer:
    data = library.manifest(there)
    manifest = read_manifest(data)
    if manifest.kind != there.kind:
        raise IntegrityError(f"{there} is a {manifest.kind}, not a {there.kind}", "tell whoever runs the remote")
    return Offer(there, data, manifest)

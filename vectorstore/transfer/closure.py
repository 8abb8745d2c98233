"""Closure: versions with all that they pin and their parents, in an order in which they can be received."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.errors import InvalidInputError
from vectorstore.reference import Reference, parse_reference
from vectorstore.store import Store, lookup
from vectorstore.store.reading import read_versions
from vectorstore.store.schema import LineageRow, RecipeTermRow
from vectorstore.store.version import Version

MAX_VERSIONS = 2000  # that travel together: what lists them has to be read within the bounds of foreign JSON
AT_ONCE = 500


def closure(store: Store, references: Iterable[str | Reference]) -> tuple[Version, ...]:
    """Return the versions that `references` mean now, and whatever these need; each after what it needs itself.

    The order is the same for the same versions.

    Raises:
        InvalidInputError: for a reference with layers or a preset, for none at all, and for too many versions.
        NotFoundError: when there is no such version.
        VectorstoreError: when another store that a reference names cannot be asked.
    """
    parsed = [each if isinstance(each, Reference) else parse_reference(each) for each in references]
    if not parsed:
        raise InvalidInputError("no version is named", "name one or more: steer list shows what there is")
    parsed = [_here(store, each) for each in parsed]
    with store.database.read() as session:
        needs = _needs(session, {lookup.find(session, each.plain()) for each in parsed})
        versions = dict(zip(needs, read_versions(session, list(needs)), strict=True))
    order: list[Version] = []
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    while sorter.is_active():
        ready = sorter.get_ready()
        order += sorted((versions[each] for each in ready), key=lambda version: (version.full_name, version.number))
        sorter.done(*ready)
    return tuple(order)


def _here(store: Store, reference: Reference) -> Reference:
    """Return the reference to what is here; a version of another store is brought in, where the library knows one."""
    if reference.remote is None or store.remotes is None:
        return reference
    return store.remotes.bring(store, reference.plain(), None)


def _needs(session: Session, start: set[int]) -> dict[int, set[int]]:
    """Return the rows of all versions that `start` leads to, each with those it needs."""
    needs: dict[int, set[int]] = {}
    level = start
    while level:
        needs |= {version_id: set() for version_id in level}
        if len(needs) > MAX_VERSIONS:
            raise InvalidInputError(
                f"more than {MAX_VERSIONS} versions would travel together", "send them in several parts"
            )
        for mine, other in _links(session, sorted(level)):
            needs[mine].add(other)
        level = {other for version_id in level for other in needs[version_id]} - needs.keys()
    return needs


def _links(session: Session, ids: list[int]) -> Iterable[tuple[int, int]]:
    pinned = RecipeTermRow.version_id, RecipeTermRow.pinned_id
    parents = LineageRow.version_id, LineageRow.parent_id
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        for mine, other in (pinned, parents):
            for row in session.execute(select(mine, other).where(mine.in_(some))):
                yield row[0], row[1]

"""Source: the versions that meet one condition, in the order in which an index has them.

A list walks along the source that has the fewest versions hereabouts, and asks the others of each version it meets. So
its time is that of a page, not of the catalogue. No database's planner is asked which way to go: what it would have to
guess, such as how often labels occur together, decides between a page and the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select

from vectorstore.store.tables import AUTHORS, LABELS, SITES, VERSIONS

Where = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Source:
    """The versions that meet one condition.

    Attributes:
        key: the column with their row ids, by which it is ordered.
        where: the condition.
        newest: whether all are the newest of their names.
        lead: what its index is ordered by first, where PostgreSQL does not see that it is the same in all.
        repeats: whether a version may be in it several times.
        walked: whether an index has it in order; else it is asked, or collected.
        collected: the condition by which an index finds all of it at once, in no order; where there is such an index.
        cost: how much longer it takes to ask it about a version than to walk on to the next.
    """

    key: ColumnElement[int]
    where: Where
    newest: bool = False
    lead: ColumnElement[Any] | None = None
    repeats: bool = False
    walked: bool = True
    collected: Where = ()
    cost: int = 1

    def walk(self, columns: Sequence[ColumnElement[Any]], *, down: bool) -> Select[Any]:
        """Return the query for `columns` of all its versions, in order."""
        order = [column for column in (self.lead, self.key) if column is not None]
        statement = select(*columns).where(*self.where)
        if self.repeats:
            statement = statement.distinct()
        return statement.order_by(*(column.desc() if down else column for column in order))

    def has(self, version_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Return the condition that a version is in it, as a query of its own that no planner moves elsewhere."""
        return select(literal(1)).where(self.key == version_id, *self.where).limit(1).scalar_subquery().is_not(None)


def newest() -> Source:
    """Return the newest version of each name."""
    return _of_newest()


def in_namespace(namespace_id: int) -> Source:
    """Return those in a namespace."""
    return _of_newest("namespace_id", namespace_id)


def on_model(reference: str) -> Source:
    """Return those that were computed on the model of this reference."""
    return _of_newest("model_reference", reference)


def by_method(method: str) -> Source:
    """Return those of a method."""
    return _of_newest("method", method)


def of_kind(kind: str) -> Source:
    """Return the recipes, which are what has no method; or all the others, too many to walk along."""
    versions = VERSIONS.alias()
    is_recipe = versions.c.method.is_(None)
    if kind == "recipe":
        return Source(versions.c.id, (versions.c.newest, is_recipe), newest=True, lead=versions.c.method)
    return Source(versions.c.id, (versions.c.newest, ~is_recipe), newest=True, walked=False)


def labelled(key: str, value: str) -> Source:
    """Return those with a label."""
    labels = LABELS.alias()
    return Source(labels.c.version_id, (labels.c.key == key, labels.c.value == value))


def made_by(author: str) -> Source:
    """Return those of an author."""
    authors = AUTHORS.alias()
    return Source(authors.c.version_id, (authors.c.author == author,), repeats=True)


def at_place(site: str | None, layer: int | None) -> Source:
    """Return those with a direction at this site, at this layer, or both."""
    sites = SITES.alias()
    asked = ((sites.c.site, site), (sites.c.layer, layer))
    where = tuple(column == value for column, value in asked if value is not None)
    return Source(sites.c.version_id, where, repeats=len(where) == 1)


def _of_newest(name: str | None = None, value: object = None) -> Source:
    versions = VERSIONS.alias()
    where = (versions.c.newest,) if name is None else (versions.c.newest, versions.c[name] == value)
    return Source(versions.c.id, where, newest=True)

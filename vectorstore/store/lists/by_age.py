"""Lists by age: newest or oldest first, in the order of row ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, text

from vectorstore.store.lists.source import Source, newest
from vectorstore.store.tables import VERSIONS, is_sqlite

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

AHEAD = 500
"""How far to look along each source to see which has the fewest versions hereabouts."""
COMMON = 5
"""If so many of AHEAD versions have the words that are looked for, a page of them is not far."""
NEAR = 12
"""Asking about a version takes so much longer than meeting it: up to so much commoner sources are walked together."""
WORDS_AHEAD, WORDS_COMMON = 2000, 5
"""The same, of ids, where words are all that is asked for: then no other table is read on the way."""
_NEWEST_ID = func.max(VERSIONS.c.id)
_NEWEST = select(_NEWEST_ID).scalar_subquery()
_AHEAD_OF_NEWEST = select(_NEWEST_ID - WORDS_AHEAD).scalar_subquery()

Id = int | ColumnElement[int]
"""A row id, or what says it within a query."""


@dataclass(frozen=True)
class Way:
    """A way along the row ids.

    Attributes:
        down: whether from new to old.
        after: the id after which it begins; None for the very beginning.
        until: the last id; None for the very end.
    """

    down: bool
    after: Id | None = None
    until: Id | None = None

    def bounds(self, key: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Return the conditions that `key` is on the way."""
        conditions = []
        if self.after is not None:
            conditions.append(key < self.after if self.down else key > self.after)
        if self.until is not None:
            conditions.append(key >= self.until if self.down else key <= self.until)
        return conditions

    def along(self, source: Source) -> Select[Any]:
        """Return the query for the ids of a source, in order."""
        return source.walk((source.key,), down=self.down).where(*self.bounds(source.key))


class Road(NamedTuple):
    """Which source to walk along, and what to do with the others.

    Attributes:
        driver: the one along which a page takes least.
        beside: about as rare ones, which PostgreSQL walks along with it, comparing the two orders.
        sources: all, in the order in which to ask them: first those that say no most often.
        reach: the id AHEAD versions along the driver; None if there are fewer.
    """

    driver: Source
    beside: Sequence[Source]
    sources: Sequence[Source]
    reach: Id | None = None


_MERGE = (
    "SELECT set_config('enable_nestloop', {0}, true), set_config('enable_hashjoin', {0}, true), "
    "set_config('enable_sort', {0}, true)"
)
_MERGE_ON, _MERGE_OFF = (text(_MERGE.format(f"'{other}'")) for other in ("off", "on"))


def find(connection: Connection | Session, sources: Sequence[Source], way: Way, limit: int) -> list[int]:
    """Return the ids of the next `limit` versions that are in all sources."""
    walked = [source for source in sources if source.walked]
    words = next((source for source in sources if source.collected), None)
    if words is not None:
        return _search(connection, words, sources, way, limit)
    if len(walked) < 2:  # noqa: PLR2004 - one of one needs no choice
        return _walk(connection, Road(walked[0] if walked else newest(), (), sources), way, limit)
    return _walk(connection, _rarest(connection, walked, sources, way), way, limit)


def _search(
    connection: Connection | Session, words: Source, sources: Sequence[Source], way: Way, limit: int
) -> list[int]:
    """Ask the next versions whether they have the words; if hardly any has, let the index of words find them all."""
    walked = [source for source in sources if source.walked]
    if walked:
        common, road = COMMON, _rarest(connection, walked, sources, way)
    else:
        common, road = WORDS_COMMON, Road(words, (), sources, _ahead(way))
    found = _walk(connection, road, replace(way, until=road.reach), limit)
    if road.reach is None or len(found) == limit:
        return found
    if len(found) < common:
        return _collect(connection, words, road.sources, way, limit)
    return found + _walk(connection, road, replace(way, after=road.reach), limit - len(found))


def _ahead(way: Way) -> Id:
    """Return the id WORDS_AHEAD ids ahead, whatever is there."""
    if way.down and way.after is None:
        return _AHEAD_OF_NEWEST
    start = 0 if way.after is None else way.after
    return start - WORDS_AHEAD if way.down else start + WORDS_AHEAD


def _rarest(connection: Connection | Session, walked: Sequence[Source], sources: Sequence[Source], way: Way) -> Road:
    """Look AHEAD along each source, and choose the one along which a page takes least."""
    ahead = (way.along(source).limit(1).offset(AHEAD).scalar_subquery() for source in walked)
    top, *reached = connection.execute(select(_NEWEST, *ahead)).one()
    start = way.after if way.after is not None else (top or 0) if way.down else 0
    end = 0 if way.down else top or 0
    spans = [abs(start - (end if reach is None else reach)) + 1 for reach in reached]
    costs = [_steps(source, sources) / span for source, span in zip(walked, spans, strict=True)]
    index = costs.index(min(costs))
    by_span = sorted(zip(spans, range(len(spans)), strict=True), reverse=True)
    rarest_first = [walked[number] for _, number in by_span]
    driver = walked[index]
    near = (source for source, span in zip(walked, spans, strict=True) if span * NEAR >= spans[index])
    beside = [] if driver.repeats else [source for source in near if source is not driver and not source.repeats]
    return Road(driver, beside, [*rarest_first, *_without(walked, sources)], reached[index])


def _without(some: Sequence[Source], sources: Sequence[Source]) -> list[Source]:
    """Return the sources but for some, which are these very objects: columns that are compared make a condition."""
    return [source for source in sources if not any(source is each for each in some)]


def _steps(driver: Source, sources: Sequence[Source]) -> int:
    """Return what a version takes that is met along `driver`."""
    return 1 + sum(source.cost for source in sources if source is not driver)


def _walk(connection: Connection | Session, road: Road, way: Way, limit: int) -> list[int]:
    """Walk along one source, and ask the others of each version."""
    beside = () if is_sqlite(connection) else road.beside
    taken = (road.driver, *beside)
    others = _without(taken, road.sources)
    if not any(source.newest for source in (*taken, *others)):
        others.append(newest())
    if beside:
        return _merge(connection, road, others, way, limit)
    statement = way.along(road.driver).where(*(source.has(road.driver.key) for source in others)).limit(limit)
    return [int(found) for found in connection.scalars(statement).all()]


def _merge(connection: Connection | Session, road: Road, others: Sequence[Source], way: Way, limit: int) -> list[int]:
    """Walk along several sources at once, and ask the others of each version that all of these have."""
    key = road.driver.key
    joined = (condition for source in road.beside for condition in (source.key == key, *source.where))
    together = select(key.label("id")).where(*road.driver.where, *joined, *way.bounds(key))
    # OFFSET 0 keeps the others out of it.
    met = together.order_by(key.desc() if way.down else key).offset(literal_column("0")).subquery()
    has = (source.has(met.c.id) for source in others)
    statement = select(met.c.id).where(*has).order_by(met.c.id.desc() if way.down else met.c.id).limit(limit)
    connection.execute(_MERGE_ON).close()  # of no other way does the planner know that it ends with the page
    found = [int(row) for row in connection.scalars(statement).all()]
    connection.execute(_MERGE_OFF).close()
    return found


def _collect(
    connection: Connection | Session, words: Source, sources: Sequence[Source], way: Way, limit: int
) -> list[int]:
    """Take all versions of one source, sort them, and ask the others of each."""
    found = (
        select(words.key.label("id")).where(*words.collected, *way.bounds(words.key)).cte().prefix_with("MATERIALIZED")
    )
    order = found.c.id.desc() if way.down else found.c.id
    # OFFSET 0 keeps the order inside: asking is for those that a page needs only.
    ordered = select(found.c.id).order_by(order).offset(literal_column("0")).subquery()
    has = (source.has(ordered.c.id) for source in sources if source is not words)
    statement = select(ordered.c.id).where(*has).order_by(ordered.c.id.desc() if way.down else ordered.c.id)
    return [int(row) for row in connection.scalars(statement.limit(limit)).all()]

"""Lists by age: newest or oldest first, in the order of row ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select

from vectorstore.store.lists.source import Source, newest
from vectorstore.store.tables import VERSIONS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

AHEAD = 500
"""How far to look along each source to see which has the fewest versions hereabouts."""
COMMON = 5
"""If so many of AHEAD versions have the words that are looked for, a page of them is not far."""
WORDS_AHEAD, WORDS_COMMON = 2000, 5
"""The same, of ids, where words are all that is asked for: then no other table is read on the way."""


@dataclass(frozen=True)
class Way:
    """A way along the row ids.

    Attributes:
        down: whether from new to old.
        after: the id after which it begins; None for the very beginning.
        until: the last id; None for the very end.
    """

    down: bool
    after: int | None = None
    until: int | None = None

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


def find(connection: Connection | Session, sources: Sequence[Source], way: Way, limit: int) -> list[int]:
    """Return the ids of the next `limit` versions that are in all sources."""
    walked = [source for source in sources if source.walked]
    words = next((source for source in sources if source.collected), None)
    if words is not None:
        return _search(connection, words, sources, way, limit)
    if len(walked) < 2:  # noqa: PLR2004 - one of one needs no choice
        return _walk(connection, walked[0] if walked else newest(), sources, way, limit)
    driver, others, _ = _rarest(connection, walked, sources, way)
    return _walk(connection, driver, others, way, limit)


def _search(
    connection: Connection | Session, words: Source, sources: Sequence[Source], way: Way, limit: int
) -> list[int]:
    """Ask the next versions whether they have the words; if hardly any has, let the index of words find them all."""
    walked = [source for source in sources if source.walked]
    if walked:
        common = COMMON
        driver, sources, reach = _rarest(connection, walked, sources, way)
    else:
        common, driver = WORDS_COMMON, words
        reach = _ahead(connection, way)
    found = _walk(connection, driver, sources, replace(way, until=reach), limit)
    if reach is None or len(found) == limit:
        return found
    if len(found) < common:
        return _collect(connection, words, sources, way, limit)
    return found + _walk(connection, driver, sources, replace(way, after=reach), limit - len(found))


def _ahead(connection: Connection | Session, way: Way) -> int | None:
    """Return the id WORDS_AHEAD ids ahead, whatever is there; None where the way ends before."""
    top = connection.scalar(select(func.max(VERSIONS.c.id))) or 0
    if way.down:
        reach = (top if way.after is None else way.after) - WORDS_AHEAD
        return reach if reach > 0 else None
    reach = (way.after or 0) + WORDS_AHEAD
    return reach if reach < top else None


def _rarest(
    connection: Connection | Session, walked: Sequence[Source], sources: Sequence[Source], way: Way
) -> tuple[Source, list[Source], int | None]:
    """Return the source along which a page takes least, and the id AHEAD versions along it; None if there are fewer.

    In between, return all sources in the order in which to ask them: first those that say no most often.
    """
    ahead = (way.along(source).limit(1).offset(AHEAD).scalar_subquery() for source in walked)
    newest_id = select(func.max(VERSIONS.c.id)).scalar_subquery()
    top, *reached = connection.execute(select(newest_id, *ahead)).one()
    start = way.after if way.after is not None else (top or 0) if way.down else 0
    end = 0 if way.down else top or 0
    spans = [abs(start - (end if reach is None else reach)) + 1 for reach in reached]
    costs = [_steps(source, sources) / span for source, span in zip(walked, spans, strict=True)]
    index = costs.index(min(costs))
    by_span = sorted(zip(spans, range(len(spans)), strict=True), reverse=True)
    rarest_first = [walked[number] for _, number in by_span]
    rest = [source for source in sources if not any(source is each for each in walked)]
    return walked[index], [*rarest_first, *rest], reached[index]


def _steps(driver: Source, sources: Sequence[Source]) -> int:
    """Return what a version takes that is met along `driver`."""
    return 1 + sum(source.cost for source in sources if source is not driver)


def _walk(
    connection: Connection | Session, driver: Source, sources: Sequence[Source], way: Way, limit: int
) -> list[int]:
    """Walk along one source, and ask the others of each version."""
    others = [source for source in sources if source is not driver]
    if not any(source.newest for source in (driver, *others)):
        others.append(newest())
    statement = way.along(driver).where(*(source.has(driver.key) for source in others)).limit(limit)
    return [int(found) for found in connection.scalars(statement)]


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
    return [int(row) for row in connection.scalars(statement.limit(limit))]

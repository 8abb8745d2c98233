"""Lists by name, in the order of `namespace/name`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, func, literal_column, select

from vectorstore.store.lists.source import Source, newest
from vectorstore.store.tables import VERSIONS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

FEW = 2000
"""So many versions are sooner sorted than met on a walk along the names."""
SAMPLE, COMMON = 500, 5
"""If so many of the newest versions have the words that are looked for, a walk along the names meets a page of them."""
Rows = list[tuple[int, str]]


def find(
    connection: Connection | Session, sources: Sequence[Source], namespace: str | None, after: str | None, limit: int
) -> Rows:
    """Return id and full name of the next `limit` versions that are in all sources."""
    walked = [source for source in sources if source.walked]
    few = _few(connection, walked)
    if few is not None:
        return _collect(connection, few, sources, after, limit)
    words = next((source for source in sources if source.collected), None)
    if words is not None and _sampled(connection, words) < COMMON:
        return _collect(connection, words, sources, after, limit)
    return _walk(connection, sources, namespace, after, limit)


def _few(connection: Connection | Session, walked: Sequence[Source]) -> Source | None:
    """Return a source with few versions, if there is one."""
    if not walked:
        return None
    ahead = (source.walk((source.key,), down=True).limit(1).offset(FEW).scalar_subquery() for source in walked)
    reached = connection.execute(select(*ahead)).one()
    return next((source for source, reach in zip(walked, reached, strict=True) if reach is None), None)


def _sampled(connection: Connection | Session, words: Source) -> int:
    """Return how many of the newest versions have the words."""
    everything = newest()
    sample = everything.walk((everything.key,), down=True).limit(SAMPLE).subquery()
    return connection.scalar(select(func.count()).where(words.has(sample.c.id))) or 0


def _walk(
    connection: Connection | Session, sources: Sequence[Source], namespace: str | None, after: str | None, limit: int
) -> Rows:
    """Walk along the names, and ask the sources of each version."""
    versions = VERSIONS.alias()
    where = [versions.c.newest, *(source.has(versions.c.id) for source in sources)]
    if namespace is not None:
        where += [versions.c.full_name > f"{namespace}/", versions.c.full_name < f"{namespace}0"]  # 0 follows /
    if after is not None:
        where.append(versions.c.full_name > after)
    statement = select(versions.c.id, versions.c.full_name).where(*where).order_by(versions.c.full_name)
    return _rows(connection, statement.limit(limit))


def _collect(
    connection: Connection | Session, few: Source, sources: Sequence[Source], after: str | None, limit: int
) -> Rows:
    """Take all versions of one source, and sort them by name."""
    ids = select(few.key.label("id")).where(*(few.collected or few.where)).distinct().cte().prefix_with("MATERIALIZED")
    has = (source.has(ids.c.id) for source in sources if source is not few)
    versions = VERSIONS.alias()
    name = select(versions.c.full_name).where(versions.c.id == ids.c.id, versions.c.newest).scalar_subquery()
    # OFFSET 0 keeps the name a column of it: else PostgreSQL looks for it once to compare, and once more to show.
    named = select(ids.c.id, name.label("name")).where(*has).offset(literal_column("0")).subquery()
    beyond = named.c.name.is_not(None) if after is None else named.c.name > after
    return _rows(connection, select(named.c.id, named.c.name).where(beyond).order_by(named.c.name).limit(limit))


def _rows(connection: Connection | Session, statement: Select[Any]) -> Rows:
    return [(number, name) for number, name in connection.execute(statement).all()]

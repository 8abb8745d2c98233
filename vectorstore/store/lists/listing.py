"""Listing: pages of the newest version of each name, by age or by name, each as quickly as its page is short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from sqlalchemy import Connection

from vectorstore.errors import InvalidInputError
from vectorstore.reference import check_name
from vectorstore.store.lists import by_age, by_name, search
from vectorstore.store.lists.filter import Filter
from vectorstore.store.reading import read_versions
from vectorstore.store.version import Page

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Sort = Literal["newest", "oldest", "name"]
LIMIT = 50
MAX_LIMIT = 1000
_TOO_LONG = 19  # digits that 64 bits may not hold


def list_versions(
    connection: Connection | Session,
    wanted: Filter,
    *,
    sort: Sort = "newest",
    limit: int = LIMIT,
    after: str | None = None,
) -> Page:
    """Return a page of the newest version of each name that is not yanked.

    Raises:
        InvalidInputError: for a filter, order, limit or cursor that cannot be.
        NotFoundError: for an unknown namespace.
    """
    if sort not in get_args(Sort):
        raise InvalidInputError(f"there is no order '{sort[:40]}'", f"orders: {', '.join(get_args(Sort))}")
    check_limit(limit)
    sources = list(wanted.sources(connection))
    if wanted.text:
        text = search.source(connection, wanted.text)
        if text is None:
            return Page((), None)
        sources.append(text)
    found: Sequence[tuple[int, int | str]]
    if sort == "name":
        name = None if after is None else _read_name(after)
        found = by_name.find(connection, sources, wanted.namespace, name, limit + 1)
    else:
        way = by_age.Way(sort == "newest", None if after is None else read_key(sort, after))
        found = [(number, number) for number in by_age.find(connection, sources, way, limit + 1)]
    cursor = f"{sort}:{found[limit - 1][1]}" if len(found) > limit else None
    return Page(tuple(read_versions(connection, [number for number, _ in found[:limit]])), cursor)


def check_limit(limit: int) -> None:
    """Refuse a page of no length, or of too much.

    Raises:
        InvalidInputError: for such a limit.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"a page of {limit} versions", f"ask for 1 to {MAX_LIMIT}")


def read_key(order: str, cursor: str) -> int:
    """Return the number after which a page begins.

    Raises:
        InvalidInputError: for what is no cursor of this order.
    """
    key = _key(order, cursor)
    if not (key.isascii() and key.isdigit() and len(key) < _TOO_LONG):
        raise InvalidInputError(f"'{cursor[:40]}' is not a cursor", "give the cursor of the page before")
    return int(key)


def _read_name(cursor: str) -> str:
    key = _key("name", cursor)
    namespace, _, name = key.partition("/")
    check_name(namespace, "namespace")
    check_name(name)
    return key


def _key(order: str, cursor: str) -> str:
    given, _, key = cursor.partition(":")
    if given != order:
        raise InvalidInputError(
            f"'{cursor[:40]}' is not a cursor of this list", f"give the cursor of the page before: {order}:…"
        )
    return key

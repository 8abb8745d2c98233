"""Page: a part of a list that goes on after the last key of the part before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def cut(found: Sequence[Thing], limit: int, key: Callable[[Thing], str]) -> tuple[Sequence[Thing], str | None]:
    """Return a page of at most `limit`, and the key that the next one goes on after; None at the end.

    Args:
        found: one more than the page, where the list goes on.
        limit: of the page.
        key: of one of them.
    """
    page = found[:limit]
    return page, key(page[-1]) if len(found) > limit else None

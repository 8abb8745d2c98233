"""Listed: a page of a list that goes on after the last key of the page before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from starlette.responses import JSONResponse

from vectorstore.accounts.page import cut
from vectorstore.canonical import Json


class Shown(Protocol):
    """What says its fields."""

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        ...


Item = TypeVar("Item", bound=Shown)


def listed(word: str, found: Sequence[Item], limit: int, key: Callable[[Item], str]) -> JSONResponse:
    """Return the answer that lists `found` under `word`; `found` has one more than the page where the list goes on."""
    page, cursor = cut(found, limit, key)
    return JSONResponse({word: [each.to_json() for each in page], "cursor": cursor})

"""Kinds of data: the class of each kind's items, by the kind's name in cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, first_object, read_items
from vectorstore.pairs import ContrastPair
from vectorstore.texts import Demonstration, Labelled, Target, Text

KINDS: dict[str, type[Item]] = {kind.kind: kind for kind in (ContrastPair, Text, Labelled, Target, Demonstration)}


def check_kind(items: Sequence[object], kind: str, what: str) -> None:
    """Check that `items`, for `what`, are there and are all of one kind.

    Raises:
        InvalidInputError: naming the first that is not.
    """
    wanted = KINDS[kind]
    if not items:
        raise InvalidInputError(f"there are no {wanted.noun}s", f"give at least one {wanted.noun}: {wanted.schema()}")
    for number, item in enumerate(items, 1):
        if not isinstance(item, wanted):
            raise InvalidInputError(
                f"{what} takes {kind}, and item {number} is a {type(item).__name__}",
                f"give {wanted.__module__}.{wanted.__name__}: {wanted.schema()}",
            )


def read_any(path: Path) -> tuple[Item, ...]:
    """Read JSON Lines of any one kind, that of the first line.

    Raises:
        NotFoundError: when there is no such file.
        InvalidInputError: when the first line is of no kind, or another line not of that kind; names the line.
    """
    first = first_object(path)
    kind = next((kind for kind in KINDS.values() if not kind.trouble(first)), None)
    if kind is None:
        schemas = "; ".join(f"{name}: {each.schema()}" for name, each in KINDS.items())
        problem = f"{path} has no data" if first is None else f"the first line of {path} is of no kind of data"
        raise InvalidInputError(problem, f"write lines of one kind: {schemas}")
    return read_items(path, kind)


def items_from_json(kind: str, values: Sequence[Json]) -> tuple[Item, ...]:
    """Return the items that a card keeps.

    Raises:
        InvalidInputError: for a kind without items, or an item that is not of it.
    """
    if kind not in KINDS:
        raise InvalidInputError(f"data of kind '{kind}' has no items", f"kinds with items: {', '.join(KINDS)}")
    return tuple(KINDS[kind].from_json(value, f"item {number}") for number, value in enumerate(values, 1))

"""Shipped: the sets that come with the package, by name, as the kind of data that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeVar

from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.items import Item, read_items
from vectorstore.kinds import KINDS, read_any
from vectorstore.pairs import ContrastPair, read_pairs
from vectorstore.texts import Demonstration, Labelled, Target, Text

T = TypeVar("T", bound=Item)

SETS = {
    "sentiment": "Praise, and the same said as a complaint.",
    "formality": "Formal wording, and the same said casually.",
    "weddings": "Sentences about weddings, and others of the same build about other things.",
    "french": "French, and the same in English.",
    "certainty": "Statements made with certainty, and the same with doubt.",
}
"""What each set's positive and negative sides are."""

_AS: dict[str, Callable[[ContrastPair], Sequence[Item]]] = {
    "pairs": lambda pair: (pair,),
    "texts": lambda pair: (Text(pair.positive), Text(pair.negative, "negative")),
    "labelled": lambda pair: (Labelled(pair.positive, "true"), Labelled(pair.negative, "false")),
    "targets": lambda pair: (Target(pair.positive),),
    "demonstrations": lambda pair: (Demonstration(pair.negative, pair.positive),),
}


def names() -> tuple[str, ...]:
    """Return the names of all sets."""
    return tuple(SETS)


def load(name: str, kind: str = "pairs") -> tuple[Item, ...]:
    """Return a set that comes with the package, as any kind of data.

    As `texts` its positive sides stand against its negative ones; as `labelled` these are `true` and `false`; as
    `demonstrations` the negative side is the input and the positive one the output (English to French); `targets` are
    its positive sides.

    Raises:
        NotFoundError: when there is no such set.
        InvalidInputError: for an unknown kind.
    """
    if name not in SETS:
        raise NotFoundError(f"no set '{name}' comes with the package", f"choose {', '.join(SETS)}")
    if kind not in _AS:
        raise InvalidInputError(f"no kind of data '{kind}'", f"choose {', '.join(KINDS)}")
    with as_file(files("vectorstore.data").joinpath(f"{name}.jsonl")) as path:
        return tuple(item for pair in read_pairs(path) for item in _AS[kind](pair))


def read(source: str, kind: type[T]) -> tuple[T, ...]:
    """Return the items of a JSON Lines file, or of the set of that name where there is no such file.

    Raises:
        NotFoundError: when there is neither.
        InvalidInputError: when a line is no such item, or the file has none; names the line.
    """
    if _is_set(source):
        return load(source, kind.kind)  # type: ignore[return-value] # items of this kind
    _check_there(source, kind.kind)
    return read_items(Path(source), kind)


def read_whatever(source: str) -> tuple[Item, ...]:
    """Return the items of a JSON Lines file of any kind, or the pairs of the set of that name.

    Raises:
        NotFoundError: when there is neither.
        InvalidInputError: when a line is no item of the first line's kind; names the line.
    """
    if _is_set(source):
        return load(source)
    _check_there(source, "data")
    return read_any(Path(source))


def _is_set(source: str) -> bool:
    return source in SETS and not Path(source).is_file()


def _check_there(source: str, kind: str) -> None:
    if not Path(source).exists():
        raise NotFoundError(
            f"cannot read {kind} from {source} (no such file)", f"give a JSON Lines file, {_hint(source)}"
        )


def _hint(name: str) -> str:
    if near := get_close_matches(name, SETS, n=1):
        return f"or did you mean {near[0]}, which comes with the package?"
    return f"or one of the sets that come with the package: {', '.join(SETS)}"

"""Answer: what a command has to say: a JSON document for programs, and text and tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vectorstore.canonical import Json


@dataclass(frozen=True)
class Table:
    """Rows of texts; columns that are empty in every row are not shown.

    Attributes:
        columns: their titles.
        rows: a text for each column.
        right: titles of the columns whose texts stand on the right: numbers.
        whole: titles of other columns whose texts are never broken or cut.
        optional: titles of the columns that are shown where there is room; the first is taken first.
        title: a line above.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    whole: Sequence[str] = ()
    optional: Sequence[str] = ()
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values, one to a line; values that are empty are not shown."""

    values: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Sides:
    """Texts with titles: side by side on a terminal, below each other elsewhere."""

    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shaded:
    """A text in pieces, each with a number: coloured by it on a terminal, a line for each piece elsewhere."""

    pieces: Sequence[tuple[str, float]]
    title: str = ""


Part = str | Table | Facts | Sides | Shaded


@dataclass(frozen=True)
class Answer:
    """What a command returns.

    Attributes:
        document: everything, for programs.
        parts: what people see, top to bottom.
        notes: lines for people, on stderr; a document that needs them has them itself.
        exit_code: what the program ends with: not 0 where it did its work and what it found is bad.
    """

    document: Json
    parts: Sequence[Part] = ()
    notes: Sequence[str] = field(default=())
    exit_code: int = 0


def printable(text: str) -> str:
    """Return `text` with control characters as their escapes: prompts and labels may come from anybody."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text
    )

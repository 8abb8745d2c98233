"""Contrast pairs: two texts that differ in what a vector shall mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, read_items


@dataclass(frozen=True)
class ContrastPair(Item):
    """Two texts that differ in what the vector shall mean.

    Attributes:
        positive: the text to steer towards; never empty.
        negative: the text to steer away from; some methods allow it to be empty.
        prompt: what comes before both, a question say; in a chat it is the user's turn and they are answers.
    """

    positive: str
    negative: str
    prompt: str = ""

    kind = "pairs"
    noun = "contrast pair"
    texts = ("positive", "negative")
    may_be_empty = ("negative",)

    def __post_init__(self) -> None:
        """Refuse an empty positive, which points nowhere, and text that cannot be written as UTF-8."""
        if not self.positive:
            raise InvalidInputError("the positive prompt is empty", "say what to steer towards, such as ' weddings'")
        super().__post_init__()


def read_pairs(path: Path) -> tuple[ContrastPair, ...]:
    r"""Read JSON Lines: `{"positive": "I loved it.", "negative": "I hated it."}`; blank lines and a BOM are skipped.

    Raises:
        NotFoundError: when there is no such file.
        InvalidInputError: when a line is not a pair, or the file has none; names the line.
    """
    return read_items(path, ContrastPair)

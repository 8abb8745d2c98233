"""Contrast pairs: the prompts a vector is computed from; JSON Lines in and out."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vectorstore.canonical import Json, canonical_bytes, check_text, strict_loads
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError


@dataclass(frozen=True)
class ContrastPair:
    """Two prompts that differ in what the vector shall mean.

    Attributes:
        positive: the prompt to steer towards; never empty.
        negative: the prompt to steer away from; some methods allow it to be empty.
    """

    positive: str
    negative: str

    def __post_init__(self) -> None:
        """Refuse an empty positive, which points nowhere, and text that cannot be written as UTF-8."""
        if not self.positive:
            raise InvalidInputError("the positive prompt is empty", "say what to steer towards, such as ' weddings'")

        check_text(self.positive, "the positive prompt")
        check_text(self.negative, "the negative prompt")

    def to_json(self) -> Json:
        """Return one line's object."""
        return {"positive": self.positive, "negative": self.negative}


def read_pairs(path: Path) -> tuple[ContrastPair, ...]:
    r"""Read JSON Lines: `{"positive": "I loved it.", "negative": "I hated it."}`; blank lines and a BOM are skipped.

    Raises:
        NotFoundError: when there is no such file.
        InvalidInputError: when a line is not a pair, or the file has none; names the line.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise NotFoundError(f"cannot read pairs from {path} ({error.strerror})", "give a JSON Lines file") from error
    pairs = tuple(_pair(line, f"{path.name} line {number}") for number, line in enumerate(lines, 1) if line.strip())
    if not pairs:
        raise InvalidInputError(f"{path} has no pairs", 'write lines such as {"positive": "…", "negative": "…"}')
    return pairs


def items_bytes(items: Sequence[Json]) -> bytes:
    """Return any items of data as canonical JSON Lines; their digest is the data's digest."""
    return b"".join(canonical_bytes(item) + b"\n" for item in items)


def _pair(line: bytes, where: str) -> ContrastPair:
    hint = 'write {"positive": "…", "negative": "…"}, both texts'
    try:
        value = strict_loads(line, where)
    except IntegrityError as error:
        raise InvalidInputError(error.problem, hint) from error
    if not isinstance(value, dict) or set(value) != {"positive", "negative"}:
        raise InvalidInputError(f"{where} is not a contrast pair", hint)
    if not all(isinstance(text, str) for text in value.values()):
        raise InvalidInputError(f"{where} has a prompt that is not text", hint)
    try:
        return ContrastPair(**value)
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.problem}", error.hint) from error

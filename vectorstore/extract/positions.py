"""Read positions: at which tokens of a text activations are read. A new one is a constant here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vectorstore.extract.params import Param

Positions = Callable[[int, int], range]
"""(index of the first token after BOS, number of tokens) -> the positions that are read."""


@dataclass(frozen=True)
class ReadPosition:
    """Where activations are read.

    Attributes:
        name: as in `read=mean_content`, and in the card.
        summary: one line.
        positions: which tokens of a text.
        by_token: keep one activation for each of these tokens, `[t, d]`, instead of their mean, `[d]`. The texts are
            then padded to equal length with a token that counts as text.
        params: the settings it adds to a method that reads so.
    """

    name: str
    summary: str
    positions: Positions
    by_token: bool = False
    params: tuple[Param, ...] = ()


PAD_TOKEN = Param("pad_token", " ", "Text of exactly one token that the shorter prompt is padded with, on the right.")

ALL = ReadPosition(
    name="all",
    summary="every token, BOS first; the shorter prompt is padded with a token that counts as text",
    positions=lambda _first, count: range(count),
    by_token=True,
    params=(PAD_TOKEN,),
)
MEAN_CONTENT = ReadPosition("mean_content", "the mean over all tokens but BOS", positions=range)
LAST_CONTENT = ReadPosition("last_content", "the last token", positions=lambda _first, count: range(count - 1, count))

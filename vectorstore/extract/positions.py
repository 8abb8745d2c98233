"""Read positions: at which tokens of a text activations are read. A new one is a constant here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vectorstore.extract.params import Param


class Extent(NamedTuple):
    """The parts of a text, by token.

    Attributes:
        first: the first token after BOS; 0 where the tokenizer puts no BOS.
        answer: the first token after the prompt; `first` where there is no prompt.
        length: the number of tokens.
    """

    first: int
    answer: int
    length: int


Positions = Callable[[Extent, Mapping[str, Any]], range]
"""(extent, the method's params) -> the positions that are read; none where the text has no such token."""


@dataclass(frozen=True)
class ReadPosition:
    """Where activations are read.

    Attributes:
        name: as in `read=mean_content`, and in the card.
        summary: one line.
        positions: which tokens of a text.
        by_token: keep one activation for each of these tokens, `[t, d]`, instead of their mean, `[d]`. The texts of an
            item are then padded to equal length with a token that counts as text.
        without_sinks: leave tokens out whose norm is more than ten times R (`residual.SINK_FACTOR`).
        params: the settings it adds to a method that reads so.
    """

    name: str
    summary: str
    positions: Positions
    by_token: bool = False
    without_sinks: bool = False
    params: tuple[Param, ...] = ()


PAD_TOKEN = Param("pad_token", " ", "Text of exactly one token that the shorter prompt is padded with, on the right.")
INDEX = Param("index", -2, "The token that at_index reads: 0 is the first after BOS, -1 the last.")
FIRST = Param("first", 5, "How many tokens first_k reads.")


def _index(extent: Extent, params: Mapping[str, Any]) -> range:
    index = params[INDEX.name] + (extent.length if params[INDEX.name] < 0 else extent.first)
    return range(index, index + 1) if extent.first <= index < extent.length else range(0)


def _first(extent: Extent, params: Mapping[str, Any]) -> range:
    return range(extent.first, min(extent.first + max(params[FIRST.name], 0), extent.length))


ALL = ReadPosition(
    name="all",
    summary="every token, BOS first; the shorter prompt is padded with a token that counts as text",
    positions=lambda extent, _params: range(extent.length),
    by_token=True,
    params=(PAD_TOKEN,),
)
MEAN_CONTENT = ReadPosition(
    "mean_content", "the mean over all tokens but BOS", lambda extent, _params: range(extent.first, extent.length)
)
MEAN_NONSINK = ReadPosition(
    "mean_nonsink",
    "the mean over all tokens but BOS and other attention sinks",
    lambda extent, _params: range(extent.first, extent.length),
    without_sinks=True,
)
MEAN_ANSWER = ReadPosition(
    "mean_answer",
    "the mean over the tokens after the prompt",
    lambda extent, _params: range(extent.answer, extent.length),
)
LAST_CONTENT = ReadPosition(
    "last_content",
    "the last token",
    lambda extent, _params: range(max(extent.first, extent.length - 1), extent.length),
)
AT_INDEX = ReadPosition("at_index", "the token at --index", _index, params=(INDEX,))
FIRST_K = ReadPosition("first_k", "the mean over the first tokens after BOS", _first, params=(FIRST,))

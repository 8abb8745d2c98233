"""Activations at the last token of each text, one text at a time, without our reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from tests.extract import oracle
from tests.extract.tiny_tokenizer import ids_of
from vectorstore.pairs import ContrastPair

Doubles = npt.NDArray[np.float64]
PAIRS = (
    ContrastPair("I loved it.", "I hated it."),
    ContrastPair("What a day", "A long and dull day"),
    ContrastPair("So good", "So very bad"),
    ContrastPair("She smiled at all of us", "He frowned"),
    ContrastPair("a fine view", "It was late"),
    ContrastPair("nice", "nasty"),
    ContrastPair("The bread was fresh", "The bread was old"),
)


def last_rows(model: PreTrainedModel, texts: Sequence[str], layer: int, index: int = -1) -> Doubles:
    """Return the activation at the token `index` of each text `[n, d]`."""
    return np.stack([oracle.states(model, ids_of(text), layer)[index].double().numpy() for text in texts])


def sides(
    model: PreTrainedModel, layer: int, pairs: Sequence[ContrastPair] = PAIRS, index: int = -1
) -> tuple[Doubles, Doubles]:
    """Return what `last_rows` returns of both sides."""
    positive, negative = ([getattr(pair, side) for pair in pairs] for side in ("positive", "negative"))
    return last_rows(model, positive, layer, index), last_rows(model, negative, layer, index)

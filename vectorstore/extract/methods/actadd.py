"""ActAdd: the difference of two prompts' activations, position by position."""

from __future__ import annotations

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.positions import ALL
from vectorstore.extract.protocols import ActivationMethod
from vectorstore.vector import Array


def direction(positive: Array, negative: Array, _use: MethodUse) -> Array:
    """Return `positive - negative` `[t, d]` of the one pair; after BOS in both, row 0 is exactly zero."""
    difference: Array = positive[0] - negative[0]
    return difference


ACTADD = ActivationMethod(
    name="actadd",
    version="1",
    summary="One pair: the difference at every token, added to the front of the prompt",
    source="Turner et al., Activation Addition, arXiv 2308.10248, section 3, algorithm 1",
    apply=Apply("prompt_front"),
    reads=(ALL,),
    max_items=1,
    empty_negative=True,
    direction=direction,
)

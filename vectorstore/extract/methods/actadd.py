"""ActAdd: the difference of two prompts' activations, position by position.

Several pairs are several additions: their differences are summed, each where it would be added alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vectorstore.card import Apply, MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param
from vectorstore.extract.positions import ALL
from vectorstore.extract.protocols import Directions, PlacesMethod, Sides
from vectorstore.place import Place
from vectorstore.tokens import Tokens, first_position
from vectorstore.vector import Array

PLACEMENT = Param(
    "placement",
    "front",
    "Where in the prompt: its first tokens, those in its middle, or its last ones.",
    ("front", "middle", "back"),
    quiet=True,
)
DIMS = Param("dims", "", "Only these dimensions, such as 0:288; elsewhere the direction is zero.", quiet=True)
TOKENS: Mapping[object, Tokens] = {"front": "prompt_front", "middle": "prompt_middle", "back": "prompt_back"}


def directions(sides: Mapping[Place, Sides], use: MethodUse) -> Directions:
    """Return at each place the sum over pairs of `positive - negative` `[t, d]`; after BOS in both, row 0 is zero.

    Raises:
        InvalidInputError: for dimensions that are no range, or that the place does not have.
    """
    return {place: _kept(_summed(both, tokens_of(use)), place, use) for place, both in sides.items()}


def tokens_of(use: MethodUse) -> Tokens:
    """Return which tokens the vectors of `use` steer."""
    return TOKENS[use.params.get(PLACEMENT.name, PLACEMENT.default)]


def _summed(sides: Sides, tokens: Tokens) -> Array:
    rows = (sides.positive - sides.negative).astype(np.float64)  # (pairs, t, d)
    total = np.zeros(rows.shape[1:])
    for difference, length in zip(rows, sides.positive_lengths.tolist(), strict=True):
        first = first_position(tokens, length, len(total))
        total[first : first + length] += difference[:length]
    return total


def _kept(direction: Array, place: Place, use: MethodUse) -> Array:
    """Return the direction with zeros outside of the dimensions that `use` names."""
    text, width = str(use.params.get(DIMS.name, DIMS.default)), direction.shape[-1]
    if not text:
        return direction
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    if found is None or not int(found[1]) < int(found[2]) <= width:
        raise InvalidInputError(
            f"dims is {text!r}, and {place.site} has dimensions 0:{width}",
            f"give the first, and the first that is left out: {DIMS.option} 0:{width // 2}",
        )
    kept = np.zeros_like(direction)
    part = slice(int(found[1]), int(found[2]))
    kept[:, part] = direction[:, part]
    return kept


ACTADD = PlacesMethod(
    name="actadd",
    version="1",
    summary="A pair, or several, summed: the difference at every token, added to the front of the prompt",
    source="Turner et al., Activation Addition, arXiv 2308.10248, section 3, algorithm 1",
    apply=Apply("prompt_front"),
    apply_by=lambda use: Apply(tokens_of(use)),
    reads=(ALL,),
    own_params=(PLACEMENT, DIMS),
    empty_negative=True,
    directions=directions,
)

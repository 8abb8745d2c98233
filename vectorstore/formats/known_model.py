"""KnownModel: all that a card says about a model, wherever it is known from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import vectorstore
from vectorstore.card import Card
from vectorstore.identity import ModelIdentity
from vectorstore.place import Place

ResidualNorms = Callable[[Sequence[Place]], Mapping[Place, float]]
"""places -> R at each of them, where it is known."""


@dataclass(frozen=True)
class KnownModel:
    """A model as far as a card needs it. `measured.measured(model, tokenizer)` is that of a model in memory.

    Attributes:
        identity: which model it is.
        residual_norms: R at the places that are asked for.
        versions: of the packages that found out.
    """

    identity: ModelIdentity
    residual_norms: ResidualNorms
    versions: Mapping[str, str]

    @classmethod
    def of_card(cls, card: Card) -> KnownModel:
        """Take a card's word for the model; R is known where the card has it, and left out elsewhere.

        `resid_pre`, `attn_out` and `mlp_out` of a layer have the same R.
        """
        known = {_source(place): norm for place, norm in card.residual_norms.items()}

        def residual_norms(places: Sequence[Place]) -> dict[Place, float]:
            return {
                place: known[_source(place)] for place in places if place.site != "head_out" and _source(place) in known
            }

        return cls(card.model, residual_norms, {**card.versions, "vectorstore": vectorstore.__version__})


def _source(place: Place) -> Place:
    return place if place.site == "resid_post" else Place("resid_pre", place.layer)

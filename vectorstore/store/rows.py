"""Rows: what a version that is saved is kept as."""

from __future__ import annotations

from typing import Any

from vectorstore.card import Card
from vectorstore.coefficient import number_text
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.version import Direction
from vectorstore.vector import SteeringVector

Values = dict[str, Any]
"""A row's values, by column."""


def preset_values(name: str, preset: Preset) -> Values:
    """Return the row of a preset."""
    first, last = preset.layers or (None, None)
    return {
        "name": name,
        "coefficient": number_text(preset.coefficient.number),
        "unit": preset.coefficient.unit,
        "first_layer": first,
        "last_layer": last,
        "tokens": preset.tokens,
    }


def site_values(place: Place, direction: Direction) -> Values:
    """Return the row of a direction."""
    return {"site": place.site, "layer": place.layer, **vars(direction)}


def model_values(card: Card | None) -> Values:
    """Return what a version's own row says of the method and the model; recipes have none."""
    model = None if card is None else card.model
    return {
        "method": None if card is None else card.method.name,
        "model_reference": None if model is None else model.reference,
        "fingerprint": None if model is None else model.fingerprint,
        "architecture": None if model is None else model.architecture,
        "tokenizer_digest": None if model is None else model.tokenizer_digest,
        "layer_count": None if model is None else model.layer_count,
        "d_model": None if model is None else model.d_model,
        "model": None if model is None else model.to_json(),
    }


def directions(vector: SteeringVector, card: Card) -> dict[Place, Direction]:
    """Return what the catalogue keeps of each direction."""
    residual_norms = card.residual_norms
    return {
        place: Direction(
            width=array.shape[-1],
            positions=array.shape[0] if array.ndim > 1 else None,
            norm=float(card.norms[place]),
            residual_norm=float(residual_norms[place]) if place in residual_norms else None,
        )
        for place, array in vector.directions.items()
    }

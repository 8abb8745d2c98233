"""Rows: what a version that is saved is kept as."""

from __future__ import annotations

from vectorstore.card import Card
from vectorstore.coefficient import number_text
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.schema import PresetRow, VersionSiteRow
from vectorstore.store.version import Direction
from vectorstore.vector import SteeringVector


def preset_row(name: str, preset: Preset) -> PresetRow:
    """Return the row of a preset."""
    first, last = preset.layers or (None, None)
    return PresetRow(
        name=name,
        coefficient=number_text(preset.coefficient.number),
        unit=preset.coefficient.unit,
        first_layer=first,
        last_layer=last,
        tokens=preset.tokens,
    )


def directions(vector: SteeringVector, card: Card) -> dict[Place, Direction]:
    """Return what the catalogue keeps of each direction."""
    return {
        place: Direction(
            width=array.shape[-1],
            positions=array.shape[0] if array.ndim > 1 else None,
            norm=card.norms[place],
            residual_norm=card.residual_norms.get(place),
        )
        for place, array in vector.directions.items()
    }


def site_row(place: Place, direction: Direction) -> VersionSiteRow:
    """Return the row of a direction."""
    return VersionSiteRow(site=place.site, layer=place.layer, **vars(direction))

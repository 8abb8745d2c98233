"""Presets must suit what they are kept with: layers that are there, tokens that fit the directions' shapes."""

from __future__ import annotations

from collections.abc import Mapping

from vectorstore.errors import InvalidInputError
from vectorstore.place import Place, layers_text
from vectorstore.plan import check_tokens
from vectorstore.preset import Preset
from vectorstore.reference import check_name
from vectorstore.store.version import Direction


def check_preset(name: str, preset: Preset, directions: Mapping[Place, Direction]) -> None:
    """Refuse a preset that could never be used on `directions`; those of a recipe are empty.

    Raises:
        InvalidInputError: saying what does not suit.
    """
    check_name(name, "preset")
    if not directions:
        _check_recipe(name, preset)
        return
    layers = {place.layer for place in directions}
    first, last = preset.layers or (min(layers), max(layers))
    if not {first, last} <= layers:
        raise InvalidInputError(f"preset {name} asks for layers {first}..{last}", f"there is {layers_text(layers)}")
    for place, direction in directions.items():
        if first <= place.layer <= last:
            _check_direction(name, preset, place, direction)


def _check_recipe(name: str, preset: Preset) -> None:
    if preset.layers or preset.tokens or preset.coefficient.unit != "raw":
        raise InvalidInputError(
            f"preset {name} of a recipe has layers, tokens or the unit r", "a recipe's preset is a plain number"
        )


def _check_direction(name: str, preset: Preset, place: Place, direction: Direction) -> None:
    if preset.tokens is not None:
        try:
            check_tokens(direction.shape, place, preset.tokens)
        except InvalidInputError as error:
            raise InvalidInputError(f"preset {name}: {error.problem}", error.hint) from error
    if preset.coefficient.unit == "r" and not direction.residual_norm:
        raise InvalidInputError(
            f"preset {name} is {preset.coefficient}, but there is no R at {place}", "give a plain number instead"
        )

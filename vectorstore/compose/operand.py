"""Operand: one direction that a function of the language takes, summed, with an exact account of what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from vectorstore.compose.combination import Combination
from vectorstore.compose.origins import Origins, factor
from vectorstore.part import Ingredient, PlanTerm, too_large, total
from vectorstore.place import Place, layers_text
from vectorstore.tokens import Tokens
from vectorstore.vector import Array, direction_norm

NOISE = 1e-12
"""What a sum in float64 leaves of its parts' norms where they cancel."""

Spot = tuple[Place, Tokens]


@dataclass(frozen=True, eq=False)
class Operand:
    """A direction divided by its leading factor, so that multiples of one direction are one operand.

    Attributes:
        direction: `[d]` or `[t, d]`, float64; exactly zero where it cancels up to rounding.
        account: what it is summed from: equal accounts are equal directions.
        leading: the factor: `leading * direction` is the direction itself.
        bases: base points of the versions behind it.
        ingredients: these versions.
    """

    direction: Array
    account: str
    leading: Fraction
    bases: tuple[Array, ...]
    ingredients: tuple[Ingredient, ...]


def operands(combination: Combination, origins: Origins) -> dict[Spot, Operand]:
    """Return the operand at each place, on each kind of tokens.

    Raises:
        InvalidInputError: for `r` where there is no R, and for sums that float64 cannot hold.
    """
    spots: dict[Spot, dict[tuple[str, Place], Fraction]] = {}
    for source, amount in combination.items():
        number = factor(source, amount, origins)
        if number:
            spots.setdefault((source.place, source.tokens), {})[source.origin, source.home] = number
    return {spot: _operand(spot, factors, origins) for spot, factors in spots.items()}


def _operand(spot: Spot, factors: Mapping[tuple[str, Place], Fraction], origins: Origins) -> Operand:
    place, tokens = spot
    keys = sorted(factors)
    leading = factors[keys[0]]
    ratios = {key: factors[key] / leading for key in keys}
    directions = {key: origins[key[0]].directions[key[1]] for key in keys}
    parts = [PlanTerm(tokens, {place: ratios[key]}, {place: directions[key]}) for key in keys]
    return Operand(
        direction=clean_total(place, parts),
        account=" + ".join(f"{_exact(ratios[key])}*{key[0]}[{key[1]}]" for key in keys),
        leading=leading,
        bases=tuple(base for key in keys for base in origins[key[0]].bases.get(key[1], ())),
        ingredients=tuple(each for key in keys for each in origins[key[0]].ingredients),
    )


def _exact(number: Fraction) -> str:
    """Return a text for the number: hexadecimal, since Python refuses decimals of more than 4,300 digits."""
    return f"{number.numerator:x}/{number.denominator:x}"


def clean_total(place: Place, parts: Sequence[PlanTerm]) -> Array:
    """Return the sum in float64, exactly zero where it cancels up to rounding.

    Raises:
        InvalidInputError: when float64 cannot hold its norm.
    """
    size = sum(direction_norm(part.scaled(place)) for part in parts)
    if not isfinite(size):
        raise too_large(place)
    return without_noise(total(place, parts), size)


def without_noise(direction: Array, size: float) -> Array:
    """Return `direction` with the rows set to zero that are no more than rounding, next to parts of norm `size`."""
    norms = np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.where(norms <= NOISE * size, 0.0, direction)


def places_text(spots: Mapping[Spot, Operand]) -> str:
    """Return `resid_pre layers 6..12`, for messages."""
    sites = dict.fromkeys(place.site for place, _ in spots)
    layers = {site: {place.layer for place, _ in spots if place.site == site} for site in sites}
    return ", ".join(f"{site} {layers_text(layers[site])}" for site in sites)

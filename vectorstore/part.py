"""Part: the terms that the sums of a plan are made of, and the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.place import Place
from vectorstore.tokens import Tokens, first_position
from vectorstore.vector import Array


class Ingredient(NamedTuple):
    """A stored version, as far as a plan needs to know what it is made of.

    Attributes:
        label: the pinned reference, `default/love@2`.
        digest: of the version's manifest; empty where it is not saved.
        card: what its computation fixed: model, R, BOS.
    """

    label: str
    digest: str
    card: Card


class PlanTerm(NamedTuple):
    """One term of a sum: directions, and the number each is multiplied by.

    Attributes:
        tokens: which tokens they steer.
        factors: raw numbers by place, after units are resolved; none is zero.
        directions: by place; there may be more of them than factors.
        label: `default/love@2`, or a function's text with its references pinned, `normalize(love@2)`.
        ingredients: the versions behind it: one, or several for a function of several; none for a vector without card.
    """

    tokens: Tokens
    factors: Mapping[Place, Fraction]
    directions: Mapping[Place, Array]
    label: str = ""
    ingredients: tuple[Ingredient, ...] = ()

    def scaled(self, place: Place) -> Array:
        """Return the direction at `place` times its factor, in float64.

        Raises:
            InvalidInputError: when the factor is larger than any float.
        """
        with np.errstate(over="ignore"):
            scaled: Array = self.directions[place].astype(np.float64)
            scaled *= self.factor(place)
        return scaled

    def factor(self, place: Place) -> float:
        """Return the number at `place`.

        Raises:
            InvalidInputError: when it is larger than any float.
        """
        try:
            return float(self.factors[place])
        except OverflowError:
            raise too_large(place) from None

    def residual_norm(self, place: Place) -> float | None:
        """Return R at `place`, or None where no card knows it."""
        known = (ingredient.card.residual_norms.get(place) for ingredient in self.ingredients)
        return next((norm for norm in known if norm), None)


def total(place: Place, parts: Sequence[PlanTerm]) -> Array:
    """Return the sum at `place` in float64; rows of `[t, d]` lie as their tokens do, and lacking ones are zero."""
    shapes = [part.directions[place].shape for part in parts]
    result = np.zeros(max(shapes))  # (t, d) or (d): the widths are equal, so this is the one with most rows
    scaled = np.empty_like(result)  # one buffer for all: the sum of many large directions is bound by memory
    with np.errstate(over="ignore", invalid="ignore"):
        for part, shape in zip(parts, shapes, strict=True):
            rows = scaled[: shape[0]]
            np.copyto(rows, part.directions[place])
            if (factor := part.factor(place)) != 1:
                rows *= factor
            first = first_position(part.tokens, shape[0], len(result))
            target = result[first : first + shape[0]]
            target += rows
    return result


def rounded(place: Place, direction: Array) -> Array:
    """Return `direction` in float32, read-only.

    Raises:
        InvalidInputError: when it is larger than float32 holds.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        narrow: Array = direction.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise too_large(place)
    narrow.flags.writeable = False
    return narrow


def too_large(place: Place) -> InvalidInputError:
    """Return the error for a sum at `place` that cannot be held."""
    return InvalidInputError(f"the sum at {place} is larger than float32 holds", "use smaller coefficients")

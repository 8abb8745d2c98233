"""Derive: the functions of the language on vectors, place by place; each gives directions with an origin of their own.

Equal arguments give the same origin, so that what a function makes cancels as exactly as what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vectorstore.canonical import digest
from vectorstore.compose.combination import Amount, Combination, Source, added, scaled
from vectorstore.compose.operand import Operand, Spot, operands, places_text, without_noise
from vectorstore.compose.origins import Origin, Origins
from vectorstore.errors import InvalidInputError
from vectorstore.identity import ModelIdentity
from vectorstore.place import Place, layers_text
from vectorstore.vector import Array, direction_norm

Derived = tuple[Combination, Mapping[str, Origin]]
"""What a function gives, and the origins that it needs."""


@dataclass(frozen=True, eq=False)
class _Result:
    """What a function makes at one spot: `factor * direction`.

    Attributes:
        account: of the direction: the function, and the accounts of its arguments.
        operand: what it was made of; its base points are kept.
        other: the second argument, if there is one.
    """

    spot: Spot
    account: str
    direction: Array
    factor: Fraction
    operand: Operand
    other: Operand | None = None


def mean(combinations: Sequence[Combination], origins: Origins) -> Combination:
    """Return the sum divided by the number of vectors; a direction that one of them lacks is zero.

    Raises:
        InvalidInputError: when they steer other tokens, or have other shapes where they meet.
    """
    met: dict[Spot, Operand] = {}
    for combination in combinations:
        found = operands(combination, origins)
        _check_alike(met, found)
        met |= found
    return scaled(added(combinations), Fraction(1, len(combinations)))


def normalize(combination: Combination, origins: Origins, label: str) -> Derived:
    """Return each direction divided by its norm; by that of its largest row for `[t, d]`.

    Raises:
        InvalidInputError: for a direction that is zero.
    """
    results = []
    for spot, operand in operands(combination, origins).items():
        norm = direction_norm(operand.direction)
        if norm == 0:
            raise InvalidInputError(f"the direction at {spot[0]} is zero, and has no norm to divide by", "leave it out")
        sign = Fraction(1 if operand.leading > 0 else -1)
        results.append(_Result(spot, f"normalize {operand.account}", operand.direction / norm, sign, operand))
    return _derived(results, label)


def project(vector: Combination, other: Combination, origins: Origins, label: str) -> Derived:
    """Return the part of each direction of `vector` along that of `other`, `(a·b / b·b) b`; row by row for `[t, d]`.

    Where `other` has no direction there is no part along it.

    Raises:
        InvalidInputError: when they steer other tokens, have other shapes, or share no place.
    """
    left, right = _pair(vector, other, origins)
    results = []
    for spot, a in left.items():
        if (b := right.get(spot)) is not None:
            along = without_noise(_along(a.direction, b.direction), direction_norm(a.direction))
            key = f"project {a.account} on {b.account}"
            results.append(_Result(spot, key, along, a.leading, a, b))
    return _derived(results, label)


def orthogonal(vector: Combination, other: Combination, origins: Origins, label: str) -> Derived:
    """Return each direction of `vector` without its part along that of `other`; row by row for `[t, d]`.

    Where `other` has no direction, that of `vector` stays as it is.

    Raises:
        InvalidInputError: when they steer other tokens, have other shapes, or share no place.
    """
    left, right = _pair(vector, other, origins)
    results = []
    for spot, a in left.items():
        b = right.get(spot)
        if b is None:
            results.append(_Result(spot, f"orthogonal {a.account}", a.direction, a.leading, a))
            continue
        rest = a.direction - _along(a.direction, b.direction)
        rest -= _along(rest, b.direction)  # a second time takes away what rounding left
        rest = without_noise(rest, direction_norm(a.direction))
        results.append(_Result(spot, f"orthogonal {a.account} to {b.account}", rest, a.leading, a, b))
    return _derived(results, label)


def at(combination: Combination, layers: tuple[int, int], site: str, origins: Origins) -> Combination:
    """Return the one direction of a vector, placed at other layers and another site.

    Raises:
        InvalidInputError: when there are several places, or the model has no such layer, or another width there.
    """
    places = sorted({source.place for source in combination}, key=lambda place: place.order)
    if len(places) > 1:
        found = f"{places[0].site} {layers_text(place.layer for place in places if place.site == places[0].site)}"
        others = ", and more sites" if places[0].site != places[-1].site else ""
        raise InvalidInputError(
            f"at(…) places one direction, and this vector has {len(places)}: {found}{others}",
            f"choose one layer: love[{places[0].layer}]",
        )
    for source in combination:
        origin = origins[source.origin]
        _check_target(origin.directions[source.home], origin.ingredients[0].card.model, layers, site)
    targets = [Place(site, layer) for layer in range(layers[0], layers[1] + 1)] if combination else []
    return {source._replace(place=place): amount for place in targets for source, amount in combination.items()}


def _pair(vector: Combination, other: Combination, origins: Origins) -> tuple[dict[Spot, Operand], dict[Spot, Operand]]:
    left, right = operands(vector, origins), operands(other, origins)
    _check_alike(left, right)
    if left and right and not left.keys() & right.keys():
        raise InvalidInputError(
            f"the vectors share no place: {places_text(left)} and {places_text(right)}",
            "choose vectors of one layer and site, or place one elsewhere with at(…)",
        )
    return left, right


def _check_alike(left: Mapping[Spot, Operand], right: Mapping[Spot, Operand]) -> None:
    mine, others = ({tokens for _, tokens in spots} for spots in (left, right))
    if left and right and mine != others:
        raise InvalidInputError(
            f"one vector steers '{', '.join(sorted(mine))}' tokens, and another '{', '.join(sorted(others))}'",
            "use vectors that steer the same tokens; a preset can say which",
        )
    for spot in left.keys() & right.keys():
        shapes = [list(spots[spot].direction.shape) for spots in (left, right)]
        if shapes[0] != shapes[1]:
            raise InvalidInputError(
                f"the directions at {spot[0]} have shapes {shapes[0]} and {shapes[1]}", "use vectors of one shape"
            )


def _check_target(direction: Array, model: ModelIdentity, layers: tuple[int, int], site: str) -> None:
    if layers[1] >= model.layer_count:
        raise InvalidInputError(
            f"there is no layer {layers[1]} in {model.reference}", f"its layers are 0..{model.layer_count - 1}"
        )
    width = model.widths.get(site)
    if direction.shape[-1] != width:
        raise InvalidInputError(
            f"a direction of width {direction.shape[-1]} does not fit {site} of {model.reference}, "
            + (f"which has width {width}" if width else "whose width is not known"),
            f"sites of its width: {', '.join(s for s, w in model.widths.items() if w == direction.shape[-1])}",
        )


def _along(a: Array, b: Array) -> Array:
    """Return the part of `a` along `b`, row by row; none along a row that is zero."""
    largest = np.abs(b).max(axis=-1, keepdims=True)
    unit = b / np.where(largest, largest, 1.0)  # squares neither overflow nor vanish
    squares = (unit * unit).sum(axis=-1, keepdims=True)
    along: Array = (a * unit).sum(axis=-1, keepdims=True) / np.where(squares, squares, 1.0) * unit
    return along


def _derived(results: Sequence[_Result], label: str) -> Derived:
    """Give each direction that is not zero an origin of its own; together they are one term, called `label`."""
    keys = [digest(f"{result.account} at {result.spot[0]}".encode()) for result in results]
    group = digest("\n".join((label, *keys)).encode())
    combination: dict[Source, Amount] = {}
    origins = {}
    for key, result in zip(keys, results, strict=True):
        place, tokens = result.spot
        if result.direction.any():
            combination[Source(key, place, tokens, place)] = Amount(raw=result.factor)
            origins[key] = _origin(result, group, label)
    return combination, origins


def _origin(result: _Result, group: str, label: str) -> Origin:
    behind = result.operand.ingredients + (result.other.ingredients if result.other else ())
    place = result.spot[0]
    return Origin(
        group=group,
        label=label,
        directions={place: result.direction},
        bases={place: result.operand.bases},
        ingredients=tuple({each.digest: each for each in behind}.values()),
    )

"""Origins: what the directions of one composition come from: stored versions, and functions of them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from vectorstore.compose.combination import Amount, Combination, Source
from vectorstore.part import Ingredient, PlanTerm
from vectorstore.place import Place, layers_text
from vectorstore.reference import short_name
from vectorstore.tokens import Tokens
from vectorstore.vector import Array


class Origin(NamedTuple):
    """Where directions come from.

    Attributes:
        group: what is one term of a sum: the digest of a version, or the key of one function's vector.
        label: the term's name: `default/love@2`, or the function's text.
        directions: by their home places.
        bases: the base points `[d]` of the versions behind a direction; for `affine`.
        ingredients: the versions behind it.
    """

    group: str
    label: str
    directions: Mapping[Place, Array]
    bases: Mapping[Place, tuple[Array, ...]]
    ingredients: tuple[Ingredient, ...]


Origins = Mapping[str, Origin]
"""By what `Source.origin` says."""

_Use = tuple[str, Tokens, Place | None, str, int]


def terms_of(combination: Combination, origins: Origins) -> tuple[PlanTerm, ...]:
    """Resolve units: one term for each origin and kind of tokens, in order of appearance.

    Raises:
        InvalidInputError: for `r` where there is no R, or where the direction is zero.
    """
    uses: dict[_Use, dict[Source, Amount]] = {}
    taken: set[tuple[_Use, Place]] = set()
    for source, amount in combination.items():
        moved = source.home != source.place
        elsewhere = (source.home, source.place.site) if moved else (None, "")
        group = origins[source.origin].group
        use: _Use = (group, source.tokens, *elsewhere, 0)
        if group != source.origin:  # of a function: another one may have made the same direction, and share its origin
            while (use, source.place) in taken:
                use = (*use[:-1], use[-1] + 1)
            taken.add((use, source.place))
        uses.setdefault(use, {})[source] = amount
    terms = (_term(use, amounts, origins) for use, amounts in uses.items())
    return tuple(term for term in terms if term.factors)


def factor(source: Source, amount: Amount, origins: Origins) -> Fraction:
    """Return the number that the direction of `source` is multiplied by."""
    return amount.factor(origins[source.origin].ingredients[0].card, source.home) if amount.r else amount.raw


def _term(use: _Use, amounts: Mapping[Source, Amount], origins: Origins) -> PlanTerm:
    _, tokens, home, *_ = use
    keys = dict.fromkeys(source.origin for source in amounts)
    origin = origins[next(iter(keys))]
    resolved = ((source.place, factor(source, amount, origins)) for source, amount in amounts.items())
    return PlanTerm(
        label=origin.label if home is None else _moved_label(origin.label, home, [each.place for each in amounts]),
        ingredients=origin.ingredients,
        tokens=tokens,
        factors={place: number for place, number in resolved if number},
        directions=origin.directions if home is None and len(keys) == 1 else _directions(amounts, origins),
    )


def _directions(amounts: Mapping[Source, Amount], origins: Origins) -> dict[Place, Array]:
    return {source.place: origins[source.origin].directions[source.home] for source in amounts}


def _moved_label(label: str, home: Place, places: list[Place]) -> str:
    """Return `at(love@1[3], 6..12, resid_post)`, as it could be written."""
    layers = layers_text(place.layer for place in places).split(" ", 1)[1]
    name = short_name(label)
    return f"at({name if name.endswith(')') else f'{name}[{home.layer}]'}, {layers}, {places[0].site})"


def made_for(combination: Combination, origins: Origins) -> dict[str, str]:
    """Return the versions behind it that are made for another operator than `add`: the operators, by label."""
    keys = {source.origin for source in combination}
    behind = (ingredient for key in keys for ingredient in origins[key].ingredients)
    return {each.label: each.card.apply.operator for each in behind if each.card.apply.operator != "add"}

"""Plan: an ordered list of steps, and what each came from. Composition makes plans; hooks carry them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import get_args

import numpy as np

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient
from vectorstore.errors import InvalidInputError
from vectorstore.tokens import Tokens
from vectorstore.vector import SITES, Array, Place, SteeringVector

_TOKENS: tuple[str, ...] = get_args(Tokens)


@dataclass(frozen=True, eq=False)
class Step:
    """One operator at one place, on one kind of tokens.

    Attributes:
        operator: a name in the hooks' operator registry: `add`.
        place: where.
        tokens: which tokens.
        direction: `[d]`, or `[t, d]` for `prompt_front`; float32.
        params: what else the operator needs, by name.
    """

    operator: str
    place: Place
    tokens: Tokens
    direction: Array
    params: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that a row per position goes with `prompt_front`, and one direction for all with the other kinds."""
        check_tokens(self.direction.shape, self.place, self.tokens)


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Directions, and the number each is multiplied by.

    Attributes:
        tokens: which tokens they steer.
        factors: raw numbers by place, after units are resolved; none is zero.
        directions: as stored, by place; there may be more of them than factors.
    """

    tokens: Tokens
    factors: Mapping[Place, Fraction]
    directions: Mapping[Place, Array]

    def scaled(self, place: Place) -> Array:
        """Return the direction at `place` times its factor, in float64.

        Raises:
            InvalidInputError: when the factor is larger than any float.
        """
        try:
            factor = float(self.factors[place])
        except OverflowError:
            raise _too_large(place) from None
        with np.errstate(over="ignore"):
            scaled: Array = self.directions[place].astype(np.float64) * factor
        return scaled


@dataclass(frozen=True, eq=False, kw_only=True)
class PlanTerm(Part):
    """One stored version that takes part in a plan.

    Attributes:
        label: the pinned reference, `default/love@2`.
        digest: of the version's manifest.
        card: what its computation fixed: model, R, BOS.
    """

    label: str
    digest: str
    card: Card


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps in the order in which they run, sums already made.

    Attributes:
        steps: empty where everything cancels: then the model stays bit for bit as it is.
        terms: the versions it is made of.
        text: the expression as written.
    """

    steps: tuple[Step, ...] = ()
    terms: tuple[PlanTerm, ...] = ()
    text: str = ""

    @property
    def places(self) -> tuple[Place, ...]:
        """The places it touches, each once, in the order of its steps."""
        return tuple(dict.fromkeys(step.place for step in self.steps))


def plan_of(
    vector: SteeringVector,
    card: Card | None = None,
    coefficient: Coefficient | str | float = 1,
    tokens: Tokens | None = None,
) -> Plan:
    """Return the plan that adds one vector, saved or not.

    Args:
        vector: what to add.
        card: needed for coefficients with the unit `r`; hooks check the model against it.
        coefficient: `2`, `"-0.5"` or `"0.15r"`.
        tokens: which tokens; where None, those of the card, else `prompt_front` for `[t, d]` and `all` for `[d]`.

    Raises:
        InvalidInputError: for `r` where there is no R, tokens that the directions' shape does not go with, or a card
            with another operator than `add`.
    """
    if card is not None:
        check_adds(card, "the vector")
    number = Coefficient.parse(coefficient)
    by_position = any(direction.ndim == 2 for direction in vector.directions.values())  # noqa: PLR2004 - [t, d]
    chosen = tokens or (card.apply.tokens if card else "prompt_front" if by_position else "all")
    residual_norms = card.residual_norms if card else {}
    factors = {
        place: number.factor(norm, residual_norms.get(place), str(place))
        for place, norm in vector.norms.items()
        if number.number
    }
    if card is None:
        return Plan(sum_steps([Part(tokens=chosen, factors=factors, directions=vector.directions)]))
    term = PlanTerm(
        tokens=chosen, factors=factors, directions=vector.directions, label="the vector", digest="", card=card
    )
    return Plan(sum_steps([term]), (term,) if factors else ())


def check_adds(card: Card, label: str) -> None:
    """Check that a vector is made to be added, the one operator that plans have so far.

    Raises:
        InvalidInputError: naming the operator.
    """
    if card.apply.operator != "add":
        raise InvalidInputError(
            f"{label} is made for the operator '{card.apply.operator}', which is not yet supported",
            "use a vector that is added",
        )


def sum_steps(parts: Iterable[Part]) -> tuple[Step, ...]:
    """Return one `add` step for each (place, tokens), by layer, then site, then tokens.

    Sums are made once, in float64, and rounded to float32. Rows of `[t, d]` are aligned at the front: where one is
    shorter, the rows it lacks are zero.

    Raises:
        InvalidInputError: when a sum is larger than float32 holds, or tokens and shape do not go together.
    """
    groups: dict[tuple[Place, Tokens], list[Part]] = {}
    for part in parts:
        for place in part.factors:
            groups.setdefault((place, part.tokens), []).append(part)
    return tuple(
        Step("add", place, tokens, _sum(place, tokens, members))
        for (place, tokens), members in sorted(groups.items(), key=_order)
    )


def check_tokens(shape: Sequence[int], place: Place, tokens: Tokens) -> None:
    """Check that `[t, d]` steers `prompt_front` and `[d]` any other tokens.

    Raises:
        InvalidInputError: naming the shape and the tokens.
    """
    if (len(shape) == 2) != (tokens == "prompt_front"):  # noqa: PLR2004 - [t, d]
        raise InvalidInputError(
            f"a direction of shape {list(shape)} at {place} cannot steer '{tokens}' tokens",
            "[t, d] steers prompt_front; [d] steers prompt, generated, last or all",
        )


def _sum(place: Place, tokens: Tokens, parts: Sequence[Part]) -> Array:
    shapes = [part.directions[place].shape for part in parts]
    for shape in shapes:
        check_tokens(shape, place, tokens)
    total = np.zeros(max(shapes))  # (t, d) or (d): the widths are equal, so this is the one with most rows
    with np.errstate(over="ignore", invalid="ignore"):
        for part, shape in zip(parts, shapes, strict=True):
            total[: shape[0]] += part.scaled(place)
        rounded: Array = total.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise _too_large(place)
    rounded.flags.writeable = False
    return rounded


def _order(item: tuple[tuple[Place, Tokens], object]) -> tuple[int, int, int]:
    (place, tokens), _ = item
    return place.layer, SITES.index(place.site), _TOKENS.index(tokens)


def _too_large(place: Place) -> InvalidInputError:
    return InvalidInputError(f"the sum at {place} is larger than float32 holds", "use smaller coefficients")

"""Plan: an ordered list of steps, and what each came from. Composition makes plans; hooks carry them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient
from vectorstore.errors import InvalidInputError
from vectorstore.part import Ingredient, PlanTerm, rounded, total
from vectorstore.place import SITES, Place
from vectorstore.preset import Preset
from vectorstore.tokens import BY_POSITION, Tokens
from vectorstore.vector import Array, SteeringVector

_TOKENS: tuple[str, ...] = get_args(Tokens)


@dataclass(frozen=True, eq=False)
class Step:
    """One operator at one place, on one kind of tokens.

    With activations h, direction v and its unit vector u, row by row for `[t, d]`:

    - `add`: h + v.
    - `keepnorm`: (h + v) · |h| / |h + v|.
    - `piecewise`: h + sign(h·v) · v, which is h where h·v is 0.
    - `ablate`: h - (h·u) u.
    - `clamp`: h - (h·u) u + value · u.
    - `affine`: h - (h·u) u + (reference·u) u + value · v; without a reference its term is left out.
    - `gate`: carry out `inner` for the rows of the batch whose mean of h·u over the prompt's `tokens` at `place`, less
      the BOS that a term was computed with, is larger than the threshold, in the passes from there on; the other rows
      stay as they are. Gates of one plan that share their direction, the same array, are one gate that opens several
      steps: it is read before the first.

    Attributes:
        operator: one of these.
        place: where it changes the activations; a gate, where it reads them.
        tokens: which tokens.
        direction: v, `[d]`, or `[t, d]` for tokens by position; float32; u itself for `ablate`, `clamp` and `gate`.
        params: `value` of `clamp` and `affine`, `threshold` of `gate`.
        reference: the base point `[d]` of `affine`, float32.
        inner: the step that a gate opens; its place is reached after the gate's, or is the same.
        terms: what the direction was summed from.
    """

    operator: str
    place: Place
    tokens: Tokens
    direction: Array
    params: Mapping[str, float] = field(default_factory=dict)
    reference: Array | None = None
    inner: Step | None = None
    terms: tuple[PlanTerm, ...] = ()

    def __post_init__(self) -> None:
        """Check that a row per position goes with tokens by position, and one direction for all with others."""
        check_tokens(self.direction.shape, self.place, self.tokens)

    @property
    def target(self) -> Place:
        """Where it changes the activations: of a gate, where its inner step does."""
        return self.inner.target if self.inner else self.place

    def __iter__(self) -> Iterator[Step]:
        """Yield the step, and what is inside it."""
        yield self
        if self.inner:
            yield from self.inner


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps in the order in which they run, sums already made.

    Attributes:
        steps: empty where everything cancels: then the model stays bit for bit as it is.
        text: the expression as written.
        recipes: digests of the recipes it was made through, by their pinned references.
        presets: what the presets of the text meant, by their references as written: `love:strong`.
    """

    steps: tuple[Step, ...] = ()
    text: str = ""
    recipes: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places it touches, each once, in the order of its steps."""
        return tuple(dict.fromkeys(part.place for step in self.steps for part in step))

    @property
    def terms(self) -> tuple[PlanTerm, ...]:
        """The terms of all its sums, each once."""
        terms = (term for step in self.steps for part in step for term in part.terms)
        return tuple({id(term): term for term in terms}.values())

    @property
    def ingredients(self) -> tuple[Ingredient, ...]:
        """The versions it is made of, each once."""
        ingredients = (ingredient for term in self.terms for ingredient in term.ingredients)
        return tuple({(each.label, each.digest): each for each in ingredients}.values())


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
    if card is not None and card.apply.operator != "add":
        raise InvalidInputError(
            f"the vector is made for the operator '{card.apply.operator}'",
            f"save it, and compose {card.apply.operator}(…) of its name",
        )
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
        return Plan(sum_steps([PlanTerm(tokens=chosen, factors=factors, directions=vector.directions)]))
    label = "the vector"
    ingredients = (Ingredient(label, "", card),)
    term = PlanTerm(tokens=chosen, factors=factors, directions=vector.directions, label=label, ingredients=ingredients)
    return Plan(sum_steps([term]))


def sum_steps(parts: Iterable[PlanTerm], operator: str = "add") -> tuple[Step, ...]:
    """Return one step for each (place, tokens), by layer, then site, then tokens.

    Sums are made once, in float64, and rounded to float32. Rows of `[t, d]` are aligned where their tokens are: where
    one is shorter, the rows it lacks are zero.

    Raises:
        InvalidInputError: when a sum is larger than float32 holds, or tokens and shape do not go together.
    """
    return tuple(
        Step(operator, place, tokens, rounded(place, total(place, members)), terms=terms_among(members))
        for place, tokens, members in grouped(parts)
    )


def grouped(parts: Iterable[PlanTerm]) -> list[tuple[Place, Tokens, list[PlanTerm]]]:
    """Return the parts that meet at each place and on each kind of tokens, in the order of `sum_steps`.

    Raises:
        InvalidInputError: when tokens and shape do not go together.
    """
    groups: dict[tuple[Place, Tokens], list[PlanTerm]] = {}
    for part in parts:
        for place in part.factors:
            check_tokens(part.directions[place].shape, place, part.tokens)
            groups.setdefault((place, part.tokens), []).append(part)
    return [(place, tokens, members) for (place, tokens), members in sorted(groups.items(), key=_order)]


def terms_among(parts: Iterable[PlanTerm]) -> tuple[PlanTerm, ...]:
    """Return those of the parts that say where they come from."""
    return tuple(part for part in parts if part.ingredients)


def check_tokens(shape: Sequence[int], place: Place, tokens: Tokens) -> None:
    """Check that `[t, d]` steers tokens by position and `[d]` any other tokens.

    Raises:
        InvalidInputError: naming the shape and the tokens.
    """
    if (len(shape) == 2) != (tokens in BY_POSITION):  # noqa: PLR2004 - [t, d]
        raise InvalidInputError(
            f"a direction of shape {list(shape)} at {place} cannot steer '{tokens}' tokens",
            f"[t, d] steers {', '.join(BY_POSITION)}; [d] steers prompt, generated, last or all",
        )


def _order(item: tuple[tuple[Place, Tokens], object]) -> tuple[int, int, int]:
    (place, tokens), _ = item
    return place.layer, SITES.index(place.site), _TOKENS.index(tokens)

"""Plan: an ordered list of steps, and what each came from. Composition makes plans; hooks carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.tokens import Tokens
from vectorstore.vector import Array, Place


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
        if (self.direction.ndim == 2) != (self.tokens == "prompt_front"):  # noqa: PLR2004 - [t, d]
            raise InvalidInputError(
                f"a direction of shape {list(self.direction.shape)} at {self.place} cannot steer '{self.tokens}' tokens",
                "[t, d] steers prompt_front; [d] steers prompt, generated, last or all",
            )


@dataclass(frozen=True, eq=False)
class PlanTerm:
    """One stored version that takes part in a plan.

    Attributes:
        label: the pinned reference, `default/love@2`.
        digest: of the version's manifest.
        card: what its computation fixed: model, R, BOS.
        tokens: which tokens it steers.
        factors: the raw number each of its directions is multiplied by, after units are resolved.
        directions: the directions it adds, already multiplied.
    """

    label: str
    digest: str
    card: Card
    tokens: Tokens
    factors: Mapping[Place, Fraction | float]
    directions: Mapping[Place, Array]


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

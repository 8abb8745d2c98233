"""Report: what a plan does at each place: norms against R, cosines between its terms, and conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vectorstore.canonical import Json
from vectorstore.place import Place
from vectorstore.plan import Plan, PlanTerm, Step
from vectorstore.tokens import Tokens
from vectorstore.vector import Array, direction_norm

CONFLICT = -0.3


@dataclass(frozen=True)
class Cosine:
    """How much two terms agree at one place; over all rows for `[t, d]`."""

    left: str
    right: str
    cosine: float

    @property
    def conflict(self) -> bool:
        """Whether they pull against each other: a cosine below -0.3."""
        return self.cosine < CONFLICT

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "conflict": self.conflict}


@dataclass(frozen=True)
class StepReport:
    """One step of the plan.

    Attributes:
        place, tokens: where, and which tokens.
        shape: of the direction: `(d,)` or `(t, d)`.
        norm: of the sum; of the largest row for `[t, d]`.
        residual_norm: R at the place, or None where no term knows it.
        interference: the norm of the sum divided by the sum of the terms' norms: 1 where all point one way, near 0
            where they cancel.
        terms: labels of the versions that take part.
        cosines: between those of equal shape, pair by pair.
    """

    place: Place
    tokens: Tokens
    shape: tuple[int, ...]
    norm: float
    residual_norm: float | None
    interference: float
    terms: tuple[str, ...]
    cosines: tuple[Cosine, ...]

    @property
    def ratio(self) -> float | None:
        """The norm in units of R."""
        return self.norm / self.residual_norm if self.residual_norm else None

    @property
    def conflict(self) -> bool:
        """Whether any two terms pull against each other."""
        return any(cosine.conflict for cosine in self.cosines)

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {
            **vars(self),
            "place": str(self.place),
            "site": self.place.site,
            "layer": self.place.layer,
            "shape": list(self.shape),
            "ratio": self.ratio,
            "conflict": self.conflict,
            "terms": list(self.terms),
            "cosines": [cosine.to_json() for cosine in self.cosines],
        }


@dataclass(frozen=True)
class Report:
    """What a plan does; `steps` are in the plan's order."""

    text: str
    steps: tuple[StepReport, ...]

    @property
    def conflict(self) -> bool:
        """Whether any two terms pull against each other anywhere."""
        return any(step.conflict for step in self.steps)

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {"text": self.text, "conflict": self.conflict, "steps": [step.to_json() for step in self.steps]}


def report(plan: Plan) -> Report:
    """Return what `plan` does at each place."""
    return Report(plan.text, tuple(_step(step, plan) for step in plan.steps))


def _step(step: Step, plan: Plan) -> StepReport:
    terms = [term for term in plan.terms if term.tokens == step.tokens and step.place in term.factors]
    directions = [term.scaled(step.place) for term in terms]
    norm = direction_norm(step.direction)
    total = sum(map(direction_norm, directions))
    known = (term.card.residual_norms.get(step.place) for term in terms)
    return StepReport(
        place=step.place,
        tokens=step.tokens,
        shape=step.direction.shape,
        norm=norm,
        residual_norm=next((residual_norm for residual_norm in known if residual_norm), None),
        interference=norm / total if total else 1.0,
        terms=tuple(term.label for term in terms),
        cosines=_cosines(terms, directions),
    )


def _cosines(terms: list[PlanTerm], directions: list[Array]) -> tuple[Cosine, ...]:
    pairs = combinations(zip(terms, directions, strict=True), 2)
    return tuple(
        Cosine(left.label, right.label, _cosine(a, b)) for (left, a), (right, b) in pairs if a.shape == b.shape
    )


def _cosine(a: Array, b: Array) -> float:
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.vdot(a, b)) / norms if norms else 0.0

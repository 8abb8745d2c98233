"""Report: what a plan does at each place: norms against R, cosines between its terms, and conflicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vectorstore.canonical import Json
from vectorstore.part import PlanTerm, total
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
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
        operator, place, tokens, params: what it does, where, to which tokens, and with which numbers.
        shape: of the direction: `(d,)` or `(t, d)`.
        norm: of what the step puts in: the sum for `add`, `keepnorm` and `piecewise`, the value times the sum for
            `affine`, the value for `clamp`; of the largest row for `[t, d]`. None for `ablate` and `gate`, which put in
            nothing.
        residual_norm: R at the place, or None where no card knows it.
        interference: the norm of the sum divided by the sum of the terms' norms: 1 where all point one way, near 0
            where they cancel.
        terms: labels of what it is summed from.
        cosines: between those of equal shape, pair by pair.
        inner: the step that a gate opens.
    """

    operator: str
    place: Place
    tokens: Tokens
    params: Mapping[str, float]
    shape: tuple[int, ...]
    norm: float | None
    residual_norm: float | None
    interference: float
    terms: tuple[str, ...]
    cosines: tuple[Cosine, ...]
    inner: StepReport | None = None

    @property
    def ratio(self) -> float | None:
        """The norm in units of R."""
        return self.norm / self.residual_norm if self.norm is not None and self.residual_norm else None

    @property
    def conflict(self) -> bool:
        """Whether any two terms pull against each other, also inside a gate."""
        return any(cosine.conflict for cosine in self.cosines) or bool(self.inner and self.inner.conflict)

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {
            **vars(self),
            "place": str(self.place),
            "site": self.place.site,
            "layer": self.place.layer,
            "params": dict(self.params),
            "shape": list(self.shape),
            "ratio": self.ratio,
            "conflict": self.conflict,
            "terms": list(self.terms),
            "cosines": [cosine.to_json() for cosine in self.cosines],
            "inner": self.inner.to_json() if self.inner else None,
        }


@dataclass(frozen=True)
class Report:
    """What a plan does.

    Attributes:
        text: the expression.
        steps: in the plan's order.
        notes: what to know about its vectors: other weights, no base point; a line each.
    """

    text: str
    steps: tuple[StepReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def conflict(self) -> bool:
        """Whether any two terms pull against each other anywhere."""
        return any(step.conflict for step in self.steps)

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        steps = [step.to_json() for step in self.steps]
        return {"text": self.text, "conflict": self.conflict, "steps": steps, "notes": list(self.notes)}


def report(plan: Plan) -> Report:
    """Return what `plan` does at each place."""
    return Report(plan.text, tuple(_step(step, plan) for step in plan.steps), (*_weights(plan), *_base_points(plan)))


def _step(step: Step, plan: Plan) -> StepReport:
    directions = [term.scaled(step.place) for term in step.terms]
    sizes = sum(map(direction_norm, directions))
    return StepReport(
        operator=step.operator,
        place=step.place,
        tokens=step.tokens,
        params=step.params,
        shape=step.direction.shape,
        norm=_norm(step),
        residual_norm=_residual_norm(step, plan),
        interference=direction_norm(total(step.place, step.terms)) / sizes if sizes else 1.0,
        terms=tuple(term.label for term in step.terms),
        cosines=_cosines(step.terms, directions),
        inner=_step(step.inner, plan) if step.inner else None,
    )


def _norm(step: Step) -> float | None:
    if step.operator in ("ablate", "gate"):
        return None
    return direction_norm(step.direction) * abs(step.params.get("value", 1.0))


def _residual_norm(step: Step, plan: Plan) -> float | None:
    """Return R as the step's own terms know it, or else as any version of the plan does: it is the model's."""
    known = (term.residual_norm(step.place) for term in (*step.terms, *plan.terms))
    return next((norm for norm in known if norm), None)


def _cosines(terms: Sequence[PlanTerm], directions: Sequence[Array]) -> tuple[Cosine, ...]:
    units = [_unit(direction) for direction in directions]
    return tuple(
        Cosine(left.label, terms[m].label, float(np.vdot(units[n], units[m])))
        for n, left in enumerate(terms)
        for m in range(n + 1, len(terms))
        if units[n].shape == units[m].shape
    )


def _unit(direction: Array) -> Array:
    """Divide by the norm over all rows; zero stays."""
    scaled = direction / (float(np.abs(direction).max()) or 1.0)  # squares neither overflow nor vanish
    unit: Array = scaled / (float(np.linalg.norm(scaled)) or 1.0)
    return unit


def _weights(plan: Plan) -> list[str]:
    """Name the versions that were computed on other weights than the first."""
    notes = []
    for other in plan.ingredients[1:]:
        first = plan.ingredients[0]
        mine, its = first.card.model, other.card.model
        if mine.fit(its) != "same":
            differ = "one model with two vocabularies" if mine.fingerprint == its.fingerprint else "different weights"
            notes.append(
                f"{first.label} was computed on {mine.reference} and {other.label} on {its.reference}: {differ}; "
                "their strengths may differ"
            )
    return notes


def _base_points(plan: Plan) -> list[str]:
    """Name the affine steps that have no base point."""
    parts = [part for step in plan.steps for part in step if part.operator == "affine" and part.reference is None]
    labels = dict.fromkeys(", ".join(term.label for term in part.terms) for part in parts)
    return [f"{label} has no base point: affine works as ablate, and then add" for label in labels]

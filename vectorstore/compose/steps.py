"""Steps: what the step functions of the language come to, at each place; `plan.Step` says what each operator does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from vectorstore.compose.combination import Combination
from vectorstore.compose.operand import clean_total
from vectorstore.compose.origins import Origins, terms_of
from vectorstore.errors import InvalidInputError
from vectorstore.part import PlanTerm, rounded
from vectorstore.place import Place
from vectorstore.plan import Step, grouped, sum_steps, terms_among
from vectorstore.vector import Array

DEPTHS: Mapping[str, int] = {"resid_pre": 0, "head_out": 1, "attn_out": 2, "mlp_out": 3, "resid_post": 4}
"""The order in which a forward pass comes to the sites of one layer."""
CONDITION_TOKENS = ("prompt", "last", "all")
_LARGEST = Fraction(float(np.finfo(np.float32).max))


def add_steps(combination: Combination, origins: Origins) -> tuple[Step, ...]:
    """Return the steps that add: one for each place and kind of tokens.

    Raises:
        InvalidInputError: when a sum is larger than float32 holds.
    """
    return sum_steps(terms_of(combination, origins))


def keepnorm_steps(combination: Combination, origins: Origins) -> tuple[Step, ...]:
    """Return the steps that add and give the activations the norm they had (in-context vectors, arXiv 2311.06668).

    Raises:
        InvalidInputError: as for `add_steps`.
    """
    return sum_steps(terms_of(combination, origins), "keepnorm")


def piecewise_steps(combination: Combination, origins: Origins) -> tuple[Step, ...]:
    """Return the steps that amplify the part along the direction, whichever sign it has (RepE, arXiv 2310.01405).

    Raises:
        InvalidInputError: as for `add_steps`.
    """
    return sum_steps(terms_of(combination, origins), "piecewise")


def ablate_steps(combination: Combination, origins: Origins) -> tuple[Step, ...]:
    """Return the steps that take the part along the direction away (Arditi et al., arXiv 2406.11717).

    Raises:
        InvalidInputError: for a direction that is zero.
    """
    return _unit_steps("ablate", combination, origins, {})


def clamp_steps(combination: Combination, value: Fraction, origins: Origins) -> tuple[Step, ...]:
    """Return the steps that set the part along the direction to `value`, in units of the activations.

    Raises:
        InvalidInputError: for a direction that is zero, or a number that float32 cannot hold.
    """
    return _unit_steps("clamp", combination, origins, {"value": _number(value)})


def affine_steps(combination: Combination, value: Fraction, origins: Origins) -> tuple[Step, ...]:
    """Return the steps of affine concept editing (ACE, arXiv 2411.09003).

    The base point is that of the version behind the vector. Without one its term is left out.

    Raises:
        InvalidInputError: for a direction that is zero, several base points, or one that belongs to another place.
    """
    params = {"value": _number(value)}
    steps = []
    for place, tokens, members in grouped(_terms(combination, origins)):
        direction = rounded(place, _total(place, members))
        base = _base(combination, origins, place)
        reference = None if base is None else rounded(place, base)
        steps.append(Step("affine", place, tokens, direction, params, reference, terms=terms_among(members)))
    return tuple(steps)


def gate_steps(
    condition: Combination, threshold: Fraction, inner: Iterable[Step], origins: Origins
) -> tuple[Step, ...]:
    """Return the inner steps, each behind the condition (CAST, arXiv 2409.05907).

    The condition is one direction, read in the prompt, where the forward pass is before it comes to the inner steps.

    Raises:
        InvalidInputError: for a condition of several directions or of tokens that are not all in the prompt, and for
            inner steps at an earlier place.
    """
    gates = _unit_steps("gate", condition, origins, {"threshold": _number(threshold)})
    if len(gates) > 1:
        raise InvalidInputError(
            f"the condition of a gate is one direction, and this vector has {len(gates)}: "
            f"{', '.join(f'{gate.place} on {gate.tokens}' for gate in gates[:4])}{', …' if gates[4:] else ''}",
            f"choose one layer: love[{gates[0].place.layer}]",
        )
    (gate,) = gates
    if gate.tokens not in CONDITION_TOKENS:
        raise InvalidInputError(
            f"the condition of a gate is read in the prompt, and this vector is for '{gate.tokens}' tokens",
            f"use a preset whose tokens are one of {', '.join(CONDITION_TOKENS)}",
        )
    steps = tuple(inner)
    for step in steps:
        if _depth(step.target) < _depth(gate.place):
            raise InvalidInputError(
                f"the step at {step.target} runs before the condition at {gate.place} is known",
                "read the condition at the layer of the step, or an earlier one",
            )
    return tuple(
        Step("gate", gate.place, gate.tokens, gate.direction, gate.params, inner=step, terms=gate.terms)
        for step in steps
    )


def _unit_steps(
    operator: str, combination: Combination, origins: Origins, params: Mapping[str, float]
) -> tuple[Step, ...]:
    steps = []
    for place, tokens, members in grouped(_terms(combination, origins)):
        direction = rounded(place, _unit(_total(place, members)))
        steps.append(Step(operator, place, tokens, direction, params, terms=terms_among(members)))
    return tuple(steps)


def _terms(combination: Combination, origins: Origins) -> Sequence[PlanTerm]:
    terms = terms_of(combination, origins)
    if not terms:
        raise InvalidInputError("everything cancels, so that there is no direction", "use another vector")
    return terms


def _unit(direction: Array) -> Array:
    """Divide by the norm, row by row; a row of zeros stays."""
    scaled = direction / np.abs(direction).max()  # squares neither overflow nor vanish
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit: Array = scaled / np.where(norms, norms, 1.0)
    return unit


def _total(place: Place, members: Sequence[PlanTerm]) -> Array:
    """Return the sum, which is more than rounding."""
    direction = clean_total(place, members)
    if not direction.any():
        raise InvalidInputError(f"the direction at {place} is zero", "leave this layer out")
    return direction


def _base(combination: Combination, origins: Origins, place: Place) -> Array | None:
    bases: dict[int, Array] = {}
    for source in combination:
        if source.place == place:
            found = origins[source.origin].bases.get(source.home, ())
            if found and source.home != place:
                raise InvalidInputError(
                    f"the base point of {origins[source.origin].label} belongs to {source.home}, not to {place}",
                    "use affine(…) at its own place",
                )
            bases |= {id(base): base for base in found}
    if len(bases) > 1:
        raise InvalidInputError(
            f"the vector is made of {len(bases)} versions that have base points of their own at {place}",
            "use one of them: affine(a, 1) then affine(b, 1)",
        )
    return next(iter(bases.values()), None)


def _depth(place: Place) -> tuple[int, int]:
    return place.layer, DEPTHS[place.site]


def _number(number: Fraction) -> float:
    if abs(number) > _LARGEST:
        raise InvalidInputError("the number is larger than float32 holds", "use a smaller one")
    return float(number)

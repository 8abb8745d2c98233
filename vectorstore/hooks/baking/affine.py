"""Affine: what a place's steps do to its activations, composed: h -> A h + shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.operators import get_operator, set_part, shift
from vectorstore.plan import Step

_NULL = 1e-6
"""How much of a direction may be left where it counts as taken out: directions are float32."""


@dataclass(frozen=True)
class Affine:
    """A map of activations `[..., width]`, in float64: A is the product of I - u uᵀ over `units`, the first innermost.

    Attributes:
        shift: what is added at last, `[width]`.
        units: unit vectors `[width]` that are projected out before, in order.
    """

    shift: Tensor
    units: tuple[Tensor, ...] = ()

    @classmethod
    def identity(cls, width: int) -> Affine:
        """Return the map that changes nothing."""
        return cls(torch.zeros(width, dtype=torch.float64))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing at all."""
        return not self.units and not self.shift.any()

    def then_added(self, vector: Tensor) -> Affine:
        """Return this map, and then h + v."""
        return replace(self, shift=self.shift + vector)

    def then_projected(self, unit: Tensor) -> Affine:
        """Return this map, and then h - (h·u) u."""
        return Affine(self.shift - (unit @ self.shift) * unit, (*self.units, unit))

    def linear(self, tensor: Tensor) -> Tensor:
        """Return A applied to each vector along the last axis of `[..., width]`."""
        for unit in self.units:
            tensor = tensor - (tensor @ unit)[..., None] * unit
        return tensor

    def transposed(self, tensor: Tensor) -> Tensor:
        """Return Aᵀ applied along the last axis: the rows of W A, for the rows of W."""
        for unit in reversed(self.units):
            tensor = tensor - (tensor @ unit)[..., None] * unit
        return tensor

    def takes_out(self, unit: Tensor) -> bool:
        """Say whether nothing along `unit` is left of A h, whatever h is."""
        return float(torch.linalg.vector_norm(self.transposed(unit))) < _NULL


@dataclass(frozen=True)
class Change:
    """A step as a map: h + vector, after the part along `unit` was taken out where there is one.

    Attributes:
        step: what it is made of.
        vector: what is added, `[width]`; for a step that sets a part, target · u.
        unit: the direction whose part is set, or None.
    """

    step: Step
    vector: Tensor
    unit: Tensor | None = None

    @property
    def text(self) -> str:
        """`ablate at resid_pre.3`."""
        return f"{self.step.operator} at {self.step.place}"

    def after(self, affine: Affine) -> Affine:
        """Return `affine`, and then this change."""
        return (affine if self.unit is None else affine.then_projected(self.unit)).then_added(self.vector)


def change_of(step: Step) -> Change:
    """Return the step as an affine map.

    Raises:
        InvalidInputError: for one that is none: of some tokens only, or of an operator that looks at the activations.
    """
    if step.inner is not None:
        raise _unbakeable(step, "a gate looks at the prompt, and weights cannot")
    if step.tokens != "all":
        raise _unbakeable(step, f"it steers '{step.tokens}' tokens, and weights act on all", _FOR_ALL)
    operator = get_operator(step.operator)
    if operator.change not in _MAPS:
        raise _unbakeable(step, f"what '{step.operator}' does depends on the activations in a way that weights cannot")
    direction, target = (torch.from_numpy(np.array(array, np.float64)) for array in operator.prepare(step))
    if operator.change is shift:
        return Change(step, direction)
    return Change(step, target * direction, direction)


_FOR_ALL = "use a vector [d] and a preset for all tokens, or steer with hooks"

_MAPS: tuple[Callable[..., Tensor], ...] = (shift, set_part)


def _unbakeable(step: Step, why: str, hint: str = "steer with hooks instead") -> InvalidInputError:
    return InvalidInputError(f"{step.operator} at {step.place} cannot be baked: {why}", hint)

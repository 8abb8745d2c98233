"""Operators: how a direction meets activations, as `plan.Step` defines them. A new one is a line in the table.

Few changes are enough. `ablate`, `clamp` and `affine` all set the part of h along u and leave the rest: to 0, to
their value, and to reference·u + value·|v| (v is |v|·u). Where nothing is to change (a row of zeros, a part that is
what it should be), every bit stays.

Precision: `add` adds in the dtype of the activations, to which the direction is rounded once, as a bias would be. Dot
products and norms are taken in float32, or in the activations' dtype where that is wider, and the result is rounded
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.plan import Step
from vectorstore.vector import Array

Change = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(hidden `[..., width]`, direction `[..., width]`, target `[..., 1]`) -> new hidden, of the same dtype."""

_LEAST = 1e-23
"""Less than any norm that float32 gives but 0; what is divided by it stays finite, and so do gradients."""


def shift(hidden: Tensor, direction: Tensor, _target: Tensor) -> Tensor:
    """Return h + v (ActAdd, arXiv 2308.10248, section 3)."""
    return hidden + direction


def turn(hidden: Tensor, direction: Tensor, _target: Tensor) -> Tensor:
    """Return (h + v) · |h| / |h + v| (in-context vectors, arXiv 2311.06668); h where h + v is nothing."""
    wide = _cast(hidden, direction.dtype)
    moved = wide + direction
    norm = _norm(moved)
    divisor = norm.clamp_min(_LEAST) if torch.is_grad_enabled() else norm
    turned = moved * (_norm(wide) / divisor)
    return _cast(torch.where(norm.logical_not(), wide, turned), hidden.dtype)


def amplify(hidden: Tensor, direction: Tensor, _target: Tensor) -> Tensor:
    """Return h + sign(h·v) · v, and h where h·v is 0 (RepE, arXiv 2310.01405, section 3.2: piece-wise operation)."""
    wide = _cast(hidden, direction.dtype)
    return _cast(torch.addcmul(wide, dot(wide, direction).sign(), direction), hidden.dtype)


def remove_part(hidden: Tensor, unit: Tensor, _target: Tensor) -> Tensor:
    """Return h - (h·u) u: `set_part` to 0, with an operation less."""
    if hidden.dtype == unit.dtype:  # most often; said in one place, since calls count here
        return torch.addcmul(hidden, (hidden * unit).sum(-1, True), unit, value=-1)
    wide = hidden.to(unit.dtype)
    return torch.addcmul(wide, dot(wide, unit), unit, value=-1).to(hidden.dtype)


def set_part(hidden: Tensor, unit: Tensor, target: Tensor) -> Tensor:
    """Return h + (target - h·u) u."""
    wide = _cast(hidden, unit.dtype)
    return _cast(torch.addcmul(wide, target - dot(wide, unit), unit), hidden.dtype)


def dot(hidden: Tensor, direction: Tensor) -> Tensor:
    """Return h·v `[..., 1]`; no matrix product, which autocast and TF32 would round, and batches would reorder."""
    part: Tensor = (hidden * direction).sum(-1, True)
    return part


def _norm(hidden: Tensor) -> Tensor:
    """Return |h| `[..., 1]`."""
    norm: Tensor = torch.linalg.vector_norm(hidden, 2, -1, True)  # by position, which torch takes in less time
    return norm


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor if tensor.dtype == dtype else tensor.to(dtype)  # to() takes as long as a sum to find that out


def units(direction: Array) -> tuple[Array, Array]:
    """Return the unit vectors of `[..., width]`, and the norms `[..., 1]`, in float64; a row of zeros stays."""
    wide = direction.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.where(norms, norms, 1.0), norms


@dataclass(frozen=True)
class Operator:
    """An operator as a change, and the numbers that the change needs.

    Attributes:
        change: what is done to the activations.
        prepare: of a step, the direction `[..., width]` and the target `[..., 1]`, in float64.
        additive: whether the direction is what the plan says, and may be multiplied by a coefficient.
        alone: the same change in less time, where no step beside it is of another operator.
    """

    change: Change
    prepare: Callable[[Step], tuple[Array, Array]]
    additive: bool = False
    alone: Change | None = None


def _plain(step: Step) -> tuple[Array, Array]:
    return step.direction, np.zeros((*step.direction.shape[:-1], 1))


def _whole(step: Step) -> tuple[Array, Array]:
    # the target is what a direction is multiplied by to see whether the model's dtype holds it
    return step.direction, np.ones((*step.direction.shape[:-1], 1))


def _ablated(step: Step) -> tuple[Array, Array]:
    unit, norms = units(step.direction)
    return unit, np.zeros_like(norms)


def _clamped(step: Step) -> tuple[Array, Array]:
    unit, norms = units(step.direction)
    return unit, np.full_like(norms, step.params["value"])


def _edited(step: Step) -> tuple[Array, Array]:
    unit, norms = units(step.direction)
    base = 0.0 if step.reference is None else (unit * step.reference.astype(np.float64)).sum(axis=-1, keepdims=True)
    target: Array = base + step.params["value"] * norms
    return unit, target


OPERATORS: dict[str, Operator] = {
    "add": Operator(shift, _plain, additive=True),
    "keepnorm": Operator(turn, _plain, additive=True),
    "piecewise": Operator(amplify, _whole, additive=True),
    "ablate": Operator(set_part, _ablated, alone=remove_part),
    "clamp": Operator(set_part, _clamped),
    "affine": Operator(set_part, _edited),
}
"""All but `gate`, which is no change by itself."""


def get_operator(name: str) -> Operator:
    """Return the operator called `name`.

    Raises:
        InvalidInputError: when there is none.
    """
    if name not in OPERATORS:
        raise InvalidInputError(f"there is no operator '{name}'", f"use one of {', '.join(OPERATORS)} or gate")
    return OPERATORS[name]

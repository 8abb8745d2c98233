"""The operators once more, slowly: token by token in float64, with nothing of the library but `plan.Step`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vectorstore.plan import Step


def carried_out(hidden: Tensor, steps: list[Step], steered: dict[str, list[list[int]]]) -> Tensor:
    """Return `hidden` `[batch, tokens, width]` after `steps` at one place, in float64.

    Args:
        hidden: before them.
        steps: in order; no gates.
        steered: for each kind of tokens the columns of each row; of `prompt_front` in the order of its rows.
    """
    result = hidden.double().clone()
    for step in steps:
        for row, columns in enumerate(steered[step.tokens]):
            direction = torch.from_numpy(step.direction.copy()).double()
            if direction.ndim == 1:
                direction = direction.expand(len(columns), -1)
            for column, vector in zip(columns, direction, strict=False):
                result[row, column] = _met(result[row, column], vector, step)
    return result


def mean_part(hidden: Tensor, direction: Any, columns: list[int]) -> float:
    """Return the mean of h·u over `columns` of `hidden` `[tokens, width]`."""
    vector = torch.from_numpy(direction.copy()).double()
    return float((hidden[columns].double() @ (vector / vector.norm())).mean())


def _met(h: Tensor, v: Tensor, step: Step) -> Tensor:
    if step.operator == "add":
        return h + v
    if step.operator == "keepnorm":
        return (h + v) * h.norm() / (h + v).norm()
    if not v.any():
        return h
    return _met_along(h, v, step)


def _met_along(h: Tensor, v: Tensor, step: Step) -> Tensor:
    if step.operator == "piecewise":
        return h + v if h @ v > 0 else h - v
    u = v / v.norm()
    rest = h - (h @ u) * u
    if step.operator == "clamp":
        return rest + step.params["value"] * u
    if step.operator == "affine":
        base = torch.zeros_like(u) if step.reference is None else torch.from_numpy(step.reference.copy()).double()
        return rest + (base @ u) * u + step.params["value"] * v
    return rest

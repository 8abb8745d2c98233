"""Stack: the directions that several plans have for one change at one place, on its layer's device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.operators import get_operator, shift
from vectorstore.hooks.rows import Rows
from vectorstore.plan import Step
from vectorstore.vector import Array

Pair = tuple[Tensor, Tensor]
"""A direction `[..., width]` and its target `[..., 1]`."""

_NEUTRAL = -0.0
"""Added to a number, it leaves every bit; 0.0 would turn -0.0 into 0.0."""


class Stack:
    """Directions and targets; moved and cast once, and gathered by row once for all passes of a batch.

    Rows whose plan has no such step get a direction that adds nothing.
    """

    def __init__(self, steps: Mapping[int, Step], rows: Rows) -> None:
        """Take the steps by the number of their plan; all make the same change to the same kind of tokens."""
        first = next(iter(steps.values()))
        self._place, self._rows = first.place, rows
        self._change = get_operator(first.operator).change
        slots = {number: slot for slot, number in enumerate(steps)}
        self._slots = [slots.get(number, len(steps)) for number in range(rows.plans)]
        self.counts = [len(steps[number].direction) if number in steps else 0 for number in range(rows.plans)]
        pairs = [get_operator(step.operator).prepare(step) for step in steps.values()]
        arrays = pairs[0] if rows.shared else (_stacked([pair[item] for pair in pairs]) for item in (0, 1))
        self._direction, self._target = (torch.from_numpy(np.array(array, np.float32)) for array in arrays)
        self._finite: set[torch.dtype] = set()
        self._gathered: tuple[int, Pair] | None = None

    def shared(self, hidden: Tensor) -> Pair:
        """Return them where `hidden` is: `[width]` or `[t, width]` of one plan for all, or `[plans, …]` of several."""
        dtype = hidden.dtype if self._change is shift else torch.promote_types(hidden.dtype, torch.float32)
        if self._direction.device != hidden.device or self._direction.dtype != dtype:
            with torch.inference_mode(mode=False):
                self._direction = self._direction.to(hidden.device, dtype)
                self._target = self._target.to(hidden.device, dtype)
            self._gathered = None
        if hidden.dtype not in self._finite:
            self._check_finite(hidden.dtype)
        return self._direction, self._target

    def by_row(self, hidden: Tensor, batch: int) -> Pair:
        """Return `[batch, 1, width]` and `[batch, 1, 1]`: of each row's plan."""
        direction, target = self.shared(hidden)
        if self._gathered is None or self._gathered[0] != batch:
            with torch.inference_mode(mode=False):
                index = self._index(batch, hidden.device)
                self._gathered = batch, (direction[index, None], target[index, None])
        return self._gathered[1]

    def by_token(self, hidden: Tensor, positions: Tensor) -> Pair:
        """Return `[batch, tokens, width]` and `[batch, tokens, 1]`: of each row's plan, its rows `positions`."""
        direction, target = self.shared(hidden)
        positions = positions.to(hidden.device)
        if self._rows.shared:
            return direction[positions], target[positions]
        index = self._index(positions.shape[0], hidden.device)[:, None]  # [batch, 1]
        return direction[index, positions], target[index, positions]

    def _index(self, batch: int, device: torch.device) -> Tensor:
        return self._rows.chosen(self._slots, batch, device)

    def _check_finite(self, dtype: torch.dtype) -> None:
        put_in = self._direction * self._target if self._change is not shift else self._direction
        if not bool(put_in.to(dtype).isfinite().all()):
            raise InvalidInputError(
                f"the direction at {self._place} is larger than {dtype} holds",
                "use a smaller coefficient, or load the model in float32",
            )
        self._finite.add(dtype)


def _stacked(arrays: list[Array]) -> Array:
    """Return `[len + 1, …]`: each at the front of its own, and at last one that adds nothing."""
    result = np.full((len(arrays) + 1, *max(array.shape for array in arrays)), _NEUTRAL)
    for row, array in zip(result, arrays, strict=False):
        row[: len(array)] = array
    return result

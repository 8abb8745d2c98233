"""Stack: the directions that several plans have for one change at one place, on its layer's device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.coefficients import Coefficient
from vectorstore.hooks.operators import get_operator, shift
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.span import DecodeSpan, Pair, Span
from vectorstore.plan import Step
from vectorstore.vector import Array

_NEUTRAL = -0.0
"""Added to a number, it leaves every bit; 0.0 would turn -0.0 into 0.0."""


class _Ready(NamedTuple):
    """What one pass used, which the next can use if it is of the same kind; `pair` is None where it adds nothing."""

    device: torch.device
    dtype: torch.dtype
    batch: int
    coefficient: Coefficient
    pair: Pair | None


class Stack:
    """Directions and targets; moved, gathered by row, multiplied and cast once for all passes of a kind.

    Rows whose plan has no such step get a direction that adds nothing.
    """

    def __init__(self, steps: Mapping[int, Step], rows: Rows, tensor: Tensor | None = None) -> None:
        """Take the steps by the number of their plan; all make the same change to the same kind of tokens.

        A `tensor` stands for the direction of all rows as it is at each pass, and gets gradients.
        """
        first = next(iter(steps.values()))
        self._place, self._rows, self._tensor = first.place, rows, tensor
        self._change = get_operator(first.operator).change
        slots = {number: slot for slot, number in enumerate(steps)}
        self._slots = [slots.get(number, len(steps)) for number in range(rows.plans)]
        self.counts = [len(steps[number].direction) if number in steps else 0 for number in range(rows.plans)]
        pairs = [get_operator(step.operator).prepare(step) for step in steps.values()]
        arrays = pairs[0] if rows.shared else (_stacked([pair[item] for pair in pairs]) for item in (0, 1))
        self._direction, self._target = (torch.from_numpy(np.array(array, np.float32)) for array in arrays)
        put_in = self._direction if self._change is shift else self._direction * self._target
        self._greatest = float(put_in.abs().max())
        if math.isnan(self._greatest):
            raise InvalidInputError(f"the direction at {self._place} holds what is no number", "compute it again")
        self._base: tuple[torch.device, torch.dtype, int, Pair] | None = None
        self._buffer: Tensor | None = None
        self._ready: _Ready | None = None

    def pair(self, hidden: Tensor, span: Span | DecodeSpan) -> Pair | None:
        """Return `[width]` for all rows, or `[batch or 1, tokens or 1, width]`; None where they add nothing."""
        if self._tensor is not None:
            return self._of_tensor(hidden, self._tensor, span.coefficient)
        ready = self._ready
        if (
            ready is None
            or ready.coefficient is not span.coefficient
            or ready.dtype != hidden.dtype
            or ready.device != hidden.device
            or ready.batch != span.batch
        ):
            training = torch.is_grad_enabled()
            with torch.inference_mode(mode=False):
                self._buffer = None if training else self._buffer
                pair = self._prepared(hidden, span)
            if training:
                self._buffer = None  # the graph may hold it
            ready = self._ready = _Ready(hidden.device, hidden.dtype, span.batch, span.coefficient, pair)
        return ready.pair

    def by_token(self, hidden: Tensor, positions: Tensor, coefficient: Coefficient) -> Pair | None:
        """Return `[batch, tokens, width]` and `[batch, tokens, 1]`: of each row's plan, its rows `positions`."""
        positions = positions.to(hidden.device)
        if self._tensor is not None:
            return self._of_tensor(hidden, self._tensor.to(hidden.device)[positions], coefficient)
        self._buffer = None
        direction, target = self._placed(hidden)
        if self._rows.shared:
            pair = direction[positions], target[positions]
        else:
            index = self._index(positions.shape[0], hidden.device)[:, None]  # [batch, 1]
            pair = direction[index, positions], target[index, positions]
        return self._multiplied(hidden, pair, coefficient)

    def _of_tensor(self, hidden: Tensor, tensor: Tensor, coefficient: Coefficient) -> Pair | None:
        if isinstance(coefficient, float) and coefficient == 0:
            return None
        plain, target = self._placed(hidden)
        product = tensor.to(hidden.device, plain.dtype)
        product = product * (coefficient if isinstance(coefficient, float) else coefficient.to(hidden.device))
        return product.to(
            hidden.dtype if self._change is shift else plain.dtype
        ), target  # of which none of these changes makes use

    def _prepared(self, hidden: Tensor, span: Span | DecodeSpan) -> Pair | None:
        direction, target = self._placed(hidden)
        key = hidden.device, direction.dtype, span.batch
        if self._rows.shared:
            pair = direction, target
        elif self._base and self._base[:3] == key:
            pair = self._base[3]
        else:
            index = self._index(span.batch, hidden.device)
            pair = direction[index, None], target[index, None]  # [batch, 1, width], [batch, 1, 1]
            self._base = *key, pair
        return self._multiplied(hidden, pair, span.coefficient)

    def _placed(self, hidden: Tensor) -> Pair:
        """Return them where `hidden` is, in float32, or its own dtype where that is wider."""
        dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        if self._direction.device != hidden.device or self._direction.dtype != dtype:
            with torch.inference_mode(mode=False):
                self._direction = self._direction.to(hidden.device, dtype)
                self._target = self._target.to(hidden.device, dtype)
        return self._direction, self._target

    def _multiplied(self, hidden: Tensor, pair: Pair, coefficient: Coefficient) -> Pair | None:
        """Return the pair times the coefficient, rounded once to the dtype in which the change is made."""
        direction, target = pair
        self._check_finite(hidden.dtype, coefficient)
        dtype = hidden.dtype if self._change is shift else direction.dtype
        if isinstance(coefficient, float):
            if coefficient == 0:
                return None
            if coefficient == 1:
                return direction.to(dtype), target
        else:
            coefficient = coefficient.to(hidden.device)
        return self._product(direction, coefficient, dtype), target

    def _product(self, direction: Tensor, coefficient: Coefficient, dtype: torch.dtype) -> Tensor:
        """Multiply into the tensor that was used before, if it is of the same kind, so that its address lasts."""
        shape = np.broadcast_shapes(direction.shape, () if isinstance(coefficient, float) else coefficient.shape)
        kind = torch.Size(shape), dtype, direction.device
        buffer = self._buffer
        if buffer is None or (buffer.shape, buffer.dtype, buffer.device) != kind:
            buffer = self._buffer = torch.empty(shape, dtype=dtype, device=direction.device)
        torch.mul(direction, coefficient, out=buffer)
        if isinstance(coefficient, Tensor) or not self._rows.shared:
            buffer.masked_fill_(buffer == 0, _NEUTRAL)
        return buffer

    def _index(self, batch: int, device: torch.device) -> Tensor:
        return self._rows.chosen(self._slots, batch, device)

    def _check_finite(self, dtype: torch.dtype, coefficient: Coefficient) -> None:
        factor = abs(coefficient) if isinstance(coefficient, float) else float(coefficient.abs().max())
        if self._greatest * factor > torch.finfo(dtype).max:
            raise InvalidInputError(
                f"the direction at {self._place} is larger than {dtype} holds",
                "use a smaller coefficient, or load the model in float32",
            )


def _stacked(arrays: list[Array]) -> Array:
    """Return `[len + 1, …]`: each at the front of its own, and at last one that adds nothing."""
    result = np.full((len(arrays) + 1, *max(array.shape for array in arrays)), _NEUTRAL)
    for row, array in zip(result, arrays, strict=False):
        row[: len(array)] = array
    return result

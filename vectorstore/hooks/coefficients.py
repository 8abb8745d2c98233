"""Coefficients: what a block multiplies its vectors by, for each row, and for each new token."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError

Schedule = Callable[[int], float]
"""From the index of a new token to a coefficient: 0 is the pass over the prompt, which chooses the first one."""

Coefficient = float | Tensor
"""Of one pass: a number, or `[batch or 1, tokens or 1, 1]`. Passes that share a coefficient share the object."""


class Coefficients:
    """A number for all rows or one for each prompt, times what a schedule says of each token.

    Attributes:
        value: the number, or the numbers of the prompts.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        """Begin with 1."""
        self.value: float | tuple[float, ...] = 1.0
        self._schedule = schedule
        self._latest: tuple[object, Coefficient] | None = None

    @property
    def scheduled(self) -> bool:
        """Whether tokens differ."""
        return self._schedule is not None

    @property
    def plain(self) -> bool:
        """Whether vectors stay as they are."""
        return self.value == 1 and self._schedule is None

    def set(self, value: float | Sequence[float] | Tensor) -> None:
        """Take another number, or a number for each prompt.

        Raises:
            InvalidInputError: when one is no finite number.
        """
        if isinstance(value, Tensor):
            value = value.tolist()
        self.value = tuple(map(_finite, value)) if isinstance(value, Sequence) else _finite(value)

    def at(self, index: int, batch: int, device: torch.device) -> Coefficient:
        """Return the coefficient of a pass whose tokens all have this index."""
        if self._schedule is None and isinstance(self.value, float):
            return self.value
        scheduled = 1.0 if self._schedule is None else self._scheduled(index)
        key = scheduled, self.value, batch, device
        if self._latest is None or self._latest[0] != key:
            self._latest = key, scheduled * self._rows(batch, device)
        return self._latest[1]

    def among(self, indices: Tensor, batch: int) -> Coefficient:
        """Return the coefficient of a pass whose tokens have `indices` `[batch or 1, tokens]`."""
        if self._schedule is None:
            return self.at(0, batch, indices.device)
        distinct, which = torch.unique(indices, return_inverse=True)
        if len(distinct) == 1:
            return self.at(int(distinct), batch, indices.device)
        numbers = torch.tensor([self._scheduled(index) for index in distinct.tolist()], device=indices.device)
        return numbers[which][..., None] * self._rows(batch, indices.device)

    def _scheduled(self, index: int) -> float:
        return _finite(self._schedule(index)) if self._schedule else 1.0

    def _rows(self, batch: int, device: torch.device) -> Coefficient:
        """Return the number of all rows, or `[batch, 1, 1]`; every prompt has the same number of rows."""
        if isinstance(self.value, float):
            return self.value
        with torch.inference_mode(mode=False):
            values = torch.tensor(self.value, device=device)
            return values.repeat_interleave(batch // len(self.value))[:, None, None]


def _finite(value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInputError(f"the coefficient is {value!r}", "give a finite number: 0.5")
    return number

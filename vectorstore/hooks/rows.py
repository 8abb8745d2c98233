"""Rows: which plan each row of a batch follows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError


class Rows:
    """One plan for every row, or a plan for each prompt of the batch, which its beams and returned sequences follow.

    Attributes:
        shared: whether all rows follow plan 0.
        plans: how many plans there are.
        prompts: how many prompts there are; None where any number will do.
    """

    def __init__(self, numbers: Sequence[int] | None = None) -> None:
        """Take the number of each prompt's plan; None where all rows follow plan 0."""
        self._numbers = numbers
        self.shared = numbers is None
        self.plans = 1 if numbers is None else max(numbers) + 1
        self.prompts = None if numbers is None else len(numbers)

    def check(self, prompts: int) -> None:
        """Check that there is a plan for each of so many prompts.

        Raises:
            InvalidInputError: when there are more or fewer.
        """
        if self._numbers is not None and prompts != len(self._numbers):
            given = "1 plan was" if len(self._numbers) == 1 else f"{len(self._numbers)} plans were"
            raise InvalidInputError(
                f"the batch has {prompts} rows, but {given} given",
                "give one plan, or None, for each row",
            )

    def of_batch(self, batch: int) -> list[int]:
        """Return the number of each row's plan; every prompt has the same number of rows."""
        if self._numbers is None:
            return [0] * batch
        return [number for number in self._numbers for _ in range(batch // len(self._numbers))]

    def chosen(self, values: Sequence[int], batch: int, device: torch.device) -> Tensor:
        """Return `[batch]`: for each row the value of its plan."""
        return torch.tensor([values[number] for number in self.of_batch(batch)], device=device)

"""Operators: how a direction meets activations. A new one is a function and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from vectorstore.errors import InvalidInputError

Operator = Callable[[Tensor, Tensor, Mapping[str, float]], Tensor]
"""(hidden `[batch, tokens, width]`, direction `[width]` or `[batch, tokens, width]`, params) -> new hidden."""


def add(hidden: Tensor, direction: Tensor, _params: Mapping[str, float]) -> Tensor:
    """Return `hidden + direction` (ActAdd, arXiv 2308.10248, section 3)."""
    return hidden + direction


OPERATORS: dict[str, Operator] = {"add": add}


def get_operator(name: str) -> Operator:
    """Return the operator called `name`.

    Raises:
        InvalidInputError: when there is none.
    """
    if name not in OPERATORS:
        raise InvalidInputError(f"operator '{name}' is not yet supported on a model", f"known: {', '.join(OPERATORS)}")
    return OPERATORS[name]

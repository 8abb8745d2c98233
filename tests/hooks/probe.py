"""An independent witness: what was added, where, seen by plain hooks put on before and after the steering."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vectorstore.models.layers import site_module
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.tokens import Tokens


@dataclass
class Witness:
    """The activations at one place, `[batch, tokens, width]` per forward pass, without and with the steering."""

    before: list[Tensor] = field(default_factory=list)
    after: list[Tensor] = field(default_factory=list)

    @property
    def added(self) -> Tensor:
        """`[batch, columns, width]`: what steering added, all passes side by side."""
        return torch.cat([b - a for a, b in zip(self.before, self.after, strict=True)], dim=1)

    @property
    def steered_columns(self) -> list[list[int]]:
        """For each row, the columns at which anything was added."""
        touched = self.added.abs().amax(dim=-1) > 0
        return [row.nonzero().flatten().tolist() for row in touched]


def witness(
    model: nn.Module, place: Place, steering: AbstractContextManager[Any], run: Callable[[], object]
) -> Witness:
    """Run the model inside `steering`, and report the activations at `place` that went in and that came out of it."""
    seen = Witness()
    module, side = site_module(model, place)

    def watch(into: list[Tensor]) -> Any:
        def on_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            into.append((args[0] if args else kwargs["hidden_states"]).clone())

        def on_output(_: nn.Module, __: object, output: Any) -> None:
            into.append((output if isinstance(output, Tensor) else output[0]).clone())

        if side == "input":
            return module.register_forward_pre_hook(on_input, with_kwargs=True)
        return module.register_forward_hook(on_output)

    with ExitStack() as stack:
        stack.callback(watch(seen.before).remove)
        stack.enter_context(steering)
        stack.callback(watch(seen.after).remove)
        with torch.no_grad():
            run()
    return seen


def add_plan(place: Place, direction: Tensor, tokens: Tokens = "all") -> Plan:
    """Return a plan of one step."""
    return Plan((Step("add", place, tokens, direction.float().numpy()),))


def direction_of(width: int, rows: int | None = None, seed: int = 0) -> Tensor:
    """Return a random direction `[width]` or `[rows, width]` whose float32 values add without rounding to zero."""
    shape = (width,) if rows is None else (rows, width)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))

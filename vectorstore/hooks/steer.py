"""Steer a model by a plan: `with steer(model, plan): model.generate(...)`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.fit import check_fit
from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.hooks.operators import get_operator
from vectorstore.hooks.span import DecodeSpan, Span
from vectorstore.hooks.tracker import Check, Tracker
from vectorstore.models.identity import identify
from vectorstore.plan import Plan, Step


@contextmanager
def steer(
    model: nn.Module,
    plan: Plan,
    *,
    prompt_length: int | Tensor | None = None,
    truncate: bool = False,
    force: bool = False,
) -> Iterator[None]:
    """Carry out `plan` in every forward pass of `model` inside the block; afterwards the model is exactly as before.

    Works with `generate` (greedy, sampling, beams), with and without a cache, and with padding on either side. A plan
    without steps leaves the model bit for bit as it is.

    Args:
        model: a causal language model; hooks are put on it, nothing is wrapped.
        plan: from `compose` or `plan_of`.
        prompt_length: for bare forward passes, how many columns (padding included) are prompt: one number, or
            `[batch]` of them. Without it a bare forward is all prompt. `generate` knows by itself.
        truncate: let prompts shorter than a `[t, d]` direction take its first rows, instead of an error.
        force: steer also where the vector was computed on another model of the same shape.

    Raises:
        MisfitError: when the plan does not fit the model.
        InvalidInputError: for a compiled model, or a site or operator the model cannot do; inside the block, for a
            prompt shorter than the vector, or one that does not begin with BOS where the vector was computed so.
    """
    if hasattr(model, "_orig_mod"):
        raise InvalidInputError("a compiled model cannot be steered yet", "pass the model itself, before torch.compile")
    for step in plan.steps:
        get_operator(step.operator)
    check_fit(model, plan, force=force)
    if not plan.steps:
        yield
        return
    tracker = Tracker(model, prompt_length, _check(plan, _bos_ids(model, plan, force=force), truncate=truncate))
    with ExitStack() as stack:
        stack.enter_context(tracker.following())
        for place, steps in groupby(sorted(plan.steps, key=lambda step: step.place), key=lambda step: step.place):
            stack.callback(on_place(model, place, _transform(tracker, [PlacedStep(step) for step in steps])).remove)
        yield


class PlacedStep:
    """A step whose direction lies on its layer's device, in its dtype: moved and cast once."""

    def __init__(self, step: Step) -> None:
        """Take the step; the direction is placed when the layer first runs."""
        self._step = step
        self._operator = get_operator(step.operator)
        self._direction = torch.from_numpy(np.array(step.direction, np.float32))

    def apply(self, hidden: Tensor, span: Span | DecodeSpan) -> Tensor | None:
        """Return the steered `hidden` `[..., width]`, or None where this pass has no token to steer."""
        direction = self._placed(hidden)
        if direction.ndim == 1:
            where = span.where(self._step.tokens)
            if where is None:
                return None
            if where is True:
                return self._operator(hidden, direction, self._step.params)
        else:
            front = span.front_rows(len(direction))
            if front is None:
                return None
            rows, where = front
            direction = direction[rows.to(hidden.device)]  # [batch, tokens, width]
        shaped = hidden.reshape(*where.shape, -1)  # [batch, tokens, width]; OPT's MLP has flattened the first two
        steered = self._operator(shaped, direction, self._step.params)
        return torch.where(where.to(hidden.device)[..., None], steered, shaped).reshape(hidden.shape)

    def _placed(self, hidden: Tensor) -> Tensor:
        if self._direction.device != hidden.device or self._direction.dtype != hidden.dtype:
            with torch.inference_mode(mode=False):
                self._direction = self._direction.to(hidden.device, hidden.dtype)
            if not bool(self._direction.isfinite().all()):
                raise InvalidInputError(
                    f"the direction at {self._step.place} is larger than {hidden.dtype} holds",
                    "use a smaller coefficient, or load the model in float32",
                )
        return self._direction


def _transform(tracker: Tracker, steps: list[PlacedStep]) -> Transform:
    def transform(hidden: Tensor) -> Tensor | None:
        span, changed = tracker.span, None
        for step in steps:
            steered = step.apply(hidden if changed is None else changed, span)
            changed = changed if steered is None else steered
        return changed

    return transform


def _bos_ids(model: nn.Module, plan: Plan, *, force: bool) -> set[int]:
    """Return the ids that every prompt must begin with: the vectors' BOS, or where other models are forced, its own."""
    made_on = [ingredient.card.model for ingredient in plan.ingredients]
    identities = [identify(model)] if force and made_on else made_on
    return {bos for identity in identities if (bos := identity.bos_token_id) is not None}


def _check(plan: Plan, bos_ids: set[int], *, truncate: bool) -> Check:
    front = max((len(step.direction) for step in plan.steps if step.direction.ndim > 1), default=0)

    def check(span: Span, input_ids: Tensor | None) -> None:
        if front and not truncate:
            span.check_front(front)
        if input_ids is not None:
            for bos in bos_ids:
                span.check_bos(input_ids, bos)

    return check

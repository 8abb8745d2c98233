"""Steer a model by a plan: `with steer(model, plan): model.generate(...)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from vectorstore.hooks.coefficients import Coefficients, Schedule
from vectorstore.hooks.hooked import hooking
from vectorstore.hooks.steering import Plans, Steering, Target
from vectorstore.hooks.tracker import Tracker
from vectorstore.place import Place


@contextmanager
def steer(  # noqa: PLR0913 - a user's choices, by name
    model: nn.Module,
    plan: Plans,
    *,
    prompt_length: int | Tensor | None = None,
    truncate: bool = False,
    force: bool = False,
    schedule: Schedule | None = None,
    tensors: Mapping[Place, Tensor] | None = None,
) -> Iterator[Steering]:
    """Carry out `plan` in every forward pass of `model` inside the block; afterwards the model is exactly as before.

    Works with `generate` (greedy, sampling, beams), with and without a cache, and with padding on either side. A plan
    without steps leaves the model bit for bit as it is. Blocks may be nested: at each place the plans are carried out
    one after another, the outer block's first. A compiled model is steered too, whether it was compiled before the
    block or inside. The block gives a `Steering`, by which plan and coefficient can be changed while it lasts.

    Args:
        model: a causal language model, or what `torch.compile` or PEFT made of it; hooks are put on it.
        plan: from `compose` or `plan_of`; or a list of them, one plan or None for each row of the batch. The beams and
            returned sequences of `generate` follow the plan of their prompt.
        prompt_length: for bare forward passes, how many columns (padding included) are prompt: one number, or
            `[batch]` of them. Without it a bare forward is all prompt. `generate` knows by itself.
        truncate: let prompts shorter than a `[t, d]` direction take the rows that fall inside, instead of an error.
        force: steer also where the vector was computed on another model of the same shape.
        schedule: from the index of a new token to what vectors are multiplied by: `lambda index: 0.9**index`. Index 0
            is the whole pass over the prompt, which chooses the first new token; 1 is the pass that chooses the next.
        tensors: by place, what stands for the plan's direction there: a `torch.nn.Parameter` of its shape, read anew in
            each pass, through which gradients flow. The plan is one for all rows, with one additive step there.

    Raises:
        ConflictError: when another thread steers the model; inside the block, when two threads run it at once.
        MisfitError: when the plan does not fit the model.
        InvalidInputError: for a site or operator that is not there, a schedule for an operator that
            takes no coefficient, or a tensor that fits no step; inside the block, for a batch with another number of
            rows than plans, a prompt shorter than the vector, one that does not begin with BOS where the vector was
            computed so, or a gate that comes to know its prompt too late; and for a backward pass that comes after the
            block and has to compute activations again.
    """
    outer: Any = getattr(model, "_orig_mod", model)  # what torch.compile wraps runs the model's own hooks
    model = outer.get_base_model() if hasattr(outer, "get_base_model") else outer  # PEFT's, with the adapters in it
    target, coefficients = Target(model, truncate, force, tensors or {}), Coefficients(schedule)
    arrangement = target.arrange(plan, level=6)
    arrangement.check_coefficients(coefficients)
    tracker = Tracker(model, prompt_length, arrangement, coefficients)
    with ExitStack() as stack:
        stack.enter_context(tracker.following(outer))
        hooked = stack.enter_context(hooking(model, tracker))
        steering = Steering(target, tracker, coefficients, hooked)
        stack.callback(steering.close)
        yield steering

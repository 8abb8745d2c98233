"""Steer a model by a plan: `with steer(model, plan): model.generate(...)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.fit import check_fit
from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.hooks.needs import check_of, needs_of
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.schedule import Action, schedule
from vectorstore.hooks.tracker import Tracker
from vectorstore.plan import Plan


@contextmanager
def steer(
    model: nn.Module,
    plan: Plan | Sequence[Plan | None],
    *,
    prompt_length: int | Tensor | None = None,
    truncate: bool = False,
    force: bool = False,
) -> Iterator[None]:
    """Carry out `plan` in every forward pass of `model` inside the block; afterwards the model is exactly as before.

    Works with `generate` (greedy, sampling, beams), with and without a cache, and with padding on either side. A plan
    without steps leaves the model bit for bit as it is. Blocks may be nested: at each place the plans are carried out
    one after another, the outer block's first.

    Args:
        model: a causal language model; hooks are put on it, nothing is wrapped.
        plan: from `compose` or `plan_of`; or a list of them, one plan or None for each row of the batch. The beams and
            returned sequences of `generate` follow the plan of their prompt.
        prompt_length: for bare forward passes, how many columns (padding included) are prompt: one number, or
            `[batch]` of them. Without it a bare forward is all prompt. `generate` knows by itself.
        truncate: let prompts shorter than a `[t, d]` direction take the rows that fall inside, instead of an error.
        force: steer also where the vector was computed on another model of the same shape.

    Raises:
        MisfitError: when the plan does not fit the model.
        InvalidInputError: for a compiled model, or a site or operator that is not there; inside the block, for a batch
            with another number of rows than plans, a prompt shorter than the vector, one that does not begin with BOS
            where the vector was computed so, or a gate that comes to know its prompt too late.
    """
    if hasattr(model, "_orig_mod"):
        raise InvalidInputError("a compiled model cannot be steered yet", "pass the model itself, before torch.compile")
    plans, rows = _by_row(plan)
    actions = schedule(plans, rows)
    check_fit(model, Plan(tuple(step for each in plans for step in each.steps)), force=force)
    if not actions:
        yield
        return
    needs = [needs_of(model, each, truncate=truncate, force=force) for each in plans]
    tracker = Tracker(model, prompt_length, rows, check_of(needs, rows))
    with ExitStack() as stack:
        stack.enter_context(tracker.following())
        for place, members in actions.items():
            stack.callback(on_place(model, place, _transform(tracker, members)).remove)
        yield


def _by_row(plan: Plan | Sequence[Plan | None]) -> tuple[list[Plan], Rows]:
    """Return the different plans, and which of them each row follows."""
    if isinstance(plan, Plan):
        return [plan], Rows()
    if not plan:
        raise InvalidInputError("there is no plan for any row", "give one plan, or None, for each row")
    nothing = Plan()
    chosen = [each or nothing for each in plan]
    plans = list({id(each): each for each in chosen}.values())
    numbers = {id(each): number for number, each in enumerate(plans)}
    return plans, Rows([numbers[id(each)] for each in chosen])


def _transform(tracker: Tracker, actions: Sequence[Action]) -> Transform:
    def transform(hidden: Tensor) -> Tensor | None:
        span, changed = tracker.span, None
        for action in actions:
            steered = action.apply(hidden if changed is None else changed, span)
            changed = changed if steered is None else steered
        return changed

    return transform

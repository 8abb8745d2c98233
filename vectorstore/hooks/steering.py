"""Steering: a block that steers a model, and what can be changed about it while it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.arrangement import Arrangement, actions_by_place
from vectorstore.hooks.coefficients import Coefficients
from vectorstore.hooks.fit import check_fit
from vectorstore.hooks.hooked import Hooked
from vectorstore.hooks.needs import check_of, needs_of
from vectorstore.hooks.operators import get_operator
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.tracker import Tracker
from vectorstore.place import Place
from vectorstore.plan import Plan

Plans = Plan | Sequence[Plan | None]
"""One plan for all rows, or one, or None, for each row of the batch."""


@dataclass(frozen=True)
class Target:
    """What is steered, and what is let pass.

    Attributes:
        model: a causal language model.
        truncate: whether prompts may be shorter than a `[t, d]` direction.
        force: whether vectors of other models of the same shape may steer it.
        tensors: what stands for the directions of the plan.
    """

    model: nn.Module
    truncate: bool = False
    force: bool = False
    tensors: Mapping[Place, Tensor] = field(default_factory=dict)

    def arrange(self, plan: Plans, *, level: int) -> Arrangement:
        """Return what `plan` does to the model; warnings point at the caller so many levels up."""
        plans, rows = _by_row(plan)
        for place, tensor in self.tensors.items():
            _check_tensor(place, tensor, plans, rows)
        actions = actions_by_place(plans, rows, self.tensors)
        parts = [part for each in plans for step in each.steps for part in step]
        check_fit(self.model, Plan(tuple(step for each in plans for step in each.steps)), force=self.force, level=level)
        needs = [needs_of(self.model, each, truncate=self.truncate, force=self.force) for each in plans]
        fixed = (part.operator for part in parts if not part.inner and not get_operator(part.operator).additive)
        return Arrangement(actions, rows, check_of(needs, rows), next(fixed, ""), bool(self.tensors))


class Steering:
    """What `with steer(model, plan) as steering:` gives; changes take effect from the next forward pass on."""

    def __init__(self, target: Target, tracker: Tracker, coefficients: Coefficients, hooked: Hooked) -> None:
        """Take what steers."""
        self._target, self._tracker, self._coefficients, self._hooked = target, tracker, coefficients, hooked
        self._open = True

    def change(self, plan: Plans) -> None:
        """Steer by another plan, or other plans, from now on; hooks that both need stay where they are.

        The coefficient and the schedule stay as they are. What does not fit leaves the old plan in force.

        Raises:
            MisfitError: when the plan does not fit the model.
            InvalidInputError: as `steer` does; when the block has ended; for a plan that cannot be multiplied by the
                coefficient in force; for another number of rows than the `generate` that is under way has.
        """
        self._check_open()
        arrangement = self._target.arrange(plan, level=4)
        arrangement.check_coefficients(self._coefficients)
        before = self._tracker.arrangement
        self._tracker.take(arrangement)
        try:
            self._hooked.renew(self._target.model)
        except InvalidInputError:  # a site that only some layers have
            self._tracker.arrangement = before
            self._hooked.renew(self._target.model)
            raise

    @property
    def coefficient(self) -> float | tuple[float, ...]:
        """What the vectors of `add`, `keepnorm` and `piecewise` are multiplied by, 1 at first; 0 adds nothing.

        Where rows have plans of their own, it may be set to one number for each row. A schedule multiplies it. Setting
        it raises InvalidInputError for no finite number, a plan with other operators, or a block that has ended.
        """
        return self._coefficients.value

    @coefficient.setter
    def coefficient(self, value: float | Sequence[float] | Tensor) -> None:
        self._check_open()
        before = self._coefficients.value
        try:
            self._coefficients.set(value)
            self._tracker.arrangement.check_coefficients(self._coefficients)
        except InvalidInputError:
            self._coefficients.value = before
            raise

    def close(self) -> None:
        """Take no more changes; the end of the block does this."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise InvalidInputError("the block that steered has ended", "open another: with steer(model, plan):")


def _by_row(plan: Plans) -> tuple[list[Plan], Rows]:
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


def _check_tensor(place: Place, tensor: Tensor, plans: Sequence[Plan], rows: Rows) -> None:
    """Check that a tensor can stand for the direction of the one step of the one plan that changes this place."""
    steps = [part for plan in plans for step in plan.steps for part in step if part.place == place and not part.inner]
    if not rows.shared or len(steps) != 1 or not get_operator(steps[0].operator).additive:
        raise InvalidInputError(
            f"a tensor cannot stand for the direction at {place}",
            "give one plan for all rows, with one step there: add, keepnorm or piecewise",
        )
    if tensor.shape != steps[0].direction.shape or not tensor.is_floating_point():
        raise InvalidInputError(
            f"a tensor of {tensor.dtype} {list(tensor.shape)} cannot stand for a direction "
            f"{list(steps[0].direction.shape)} at {place}",
            "begin with one of the plan's shape: torch.nn.Parameter(torch.zeros(...))",
        )

"""Arrangement: what the hook of each place does, in the order of the plans."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.coefficients import Coefficients
from vectorstore.hooks.gate import Gate
from vectorstore.hooks.operators import get_operator
from vectorstore.hooks.placed import PlacedStep
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.span import Span
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

Action = Gate | PlacedStep

Check = Callable[[Span, Tensor | None], None]
"""Called with each pass that begins at the first column, and its `input_ids`; raises if the plans do not suit it."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """What is done at each place, for which rows.

    Attributes:
        actions: by place, in the order of every plan.
        rows: which plan each row follows.
        check: whether a batch suits the plans.
        fixed: an operator among them that takes no coefficient; empty where there is none.
        trained: whether tensors stand for directions.
    """

    actions: Mapping[Place, Sequence[Action]] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    check: Check = lambda _span, _input_ids: None
    fixed: str = ""
    trained: bool = False

    def check_coefficients(self, coefficients: Coefficients) -> None:
        """Check that the plans can be multiplied by these.

        Raises:
            InvalidInputError: for an operator that takes no coefficient, or numbers that are not one for each row.
        """
        if self.fixed and not coefficients.plain:
            raise InvalidInputError(
                f"'{self.fixed}' takes no coefficient", "only add, keepnorm and piecewise do; or change() the plan"
            )
        if isinstance(coefficients.value, tuple) and self.rows.prompts != len(coefficients.value):
            raise InvalidInputError(
                f"there are {len(coefficients.value)} coefficients for "
                + ("one plan" if self.rows.prompts is None else f"{self.rows.prompts} rows"),
                "give one number, or a list of plans and a number for each",
            )


@dataclass(frozen=True)
class Gated:
    """A step that changes activations, and the gates that open it."""

    step: Step
    gates: tuple[Gate, ...]

    @property
    def kind(self) -> tuple[object, ...]:
        """What steps have in common that can be carried out as one."""
        return get_operator(self.step.operator).change, self.step.tokens, self.gates


def actions_by_place(
    plans: Sequence[Plan], rows: Rows, tensors: Mapping[Place, Tensor] = MappingProxyType({})
) -> dict[Place, list[Action]]:
    """Return for each place what is done there, the order of every plan kept; `tensors` stand for directions.

    Plans steer different rows, so that steps of several plans may be one wherever each plan's own order allows it.

    Raises:
        InvalidInputError: for an operator that is unknown, or a gate that is read at tokens outside of the prompt.
    """
    items = [list(_items(plan)) for plan in plans]
    places = dict.fromkeys(place for members in items for place, _ in members)
    return {place: list(_merged(_queues(items, place), rows, tensors.get(place))) for place in places}


def _queues(items: Sequence[Sequence[tuple[Place, Gate | Gated]]], place: Place) -> list[deque[Gate | Gated]]:
    return [deque(item for where, item in members if where == place) for members in items]


def _items(plan: Plan) -> Iterator[tuple[Place, Gate | Gated]]:
    """Yield what a plan does and where; a gate that opens several steps is read once, before the first of them."""
    gates: dict[tuple[object, ...], Gate] = {}
    for step in plan.steps:
        opening: tuple[Gate, ...] = ()
        for part in step:
            if part.inner is None:
                yield part.place, Gated(part, opening)
                continue
            key = id(part.direction), part.place, part.tokens, part.params["threshold"]
            if key not in gates:
                gates[key] = Gate(part)
                yield part.place, gates[key]
            opening += (gates[key],)


def _merged(queues: Sequence[deque[Gate | Gated]], rows: Rows, tensor: Tensor | None) -> Iterator[Action]:
    while first := next((queue[0] for queue in queues if queue), None):
        if isinstance(first, Gate):
            for queue in queues:
                if queue and queue[0] is first:
                    queue.popleft()
            yield first
            continue
        steps = {number: taken for number, queue in enumerate(queues) if (taken := _taken(queue, first))}
        yield PlacedStep(steps, rows, first.gates, tensor)


def _taken(queue: deque[Gate | Gated], first: Gated) -> Step | None:
    """Take the next item of a queue if it is of the same kind as `first`."""
    if queue and isinstance(queue[0], Gated) and queue[0].kind == first.kind:
        item = queue.popleft()
        return item.step if isinstance(item, Gated) else None
    return None

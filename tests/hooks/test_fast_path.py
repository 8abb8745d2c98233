"""What a decoding step costs, counted in tensor operations rather than in seconds."""

from __future__ import annotations

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from tests.hooks.test_gate import gate
from tests.hooks.test_operators import LEFT, step
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

LAYERS = [Place("resid_post", layer) for layer in range(LAYER_COUNT)]


class Counter(TorchDispatchMode):
    """Counts the tensor operations inside the block."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def operations(model, plan, new_tokens, coefficient=1.0, **settings):
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False}
    with steer(model, plan, **settings) as steering, Counter() as counter:
        steering.coefficient = coefficient
        model.generate(**LEFT, **options)
    return counter.count


def per_decoding_step(plan, **settings):
    """Return how many operations steering adds to one decoding step."""
    model = tiny_model("llama")
    steered = [operations(model, plan, new, **settings) for new in (10, 4)]
    unsteered = [operations(model, Plan(), new) for new in (10, 4)]
    return ((steered[0] - steered[1]) - (unsteered[0] - unsteered[1])) / 6


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [("all", 1), ("generated", 1), ("prompt", 0), ("last", 0), ("prompt_front", 0), ("prompt_back", 0)],
)
def test_adding_costs_one_operation_a_layer_and_what_steers_the_prompt_none(tokens, expected):
    plan = Plan(tuple(step("add", place, tokens) for place in LAYERS))
    assert per_decoding_step(plan) == expected * LAYER_COUNT


def test_plans_of_their_own_for_each_row_cost_no_more():
    plans = [Plan(tuple(step("add", place, seed=seed) for place in LAYERS)) for seed in range(2)]
    assert per_decoding_step(plans) == LAYER_COUNT
    assert per_decoding_step([plans[0], None]) == LAYER_COUNT


@pytest.mark.parametrize(("threshold", "expected"), [(-1e6, 1), (1e6, 0)])
def test_a_gate_that_is_open_or_closed_for_all_costs_nothing_itself(threshold, expected):
    plan = Plan((gate(step("add", LAYERS[2]), threshold, LAYERS[0]),))
    assert per_decoding_step(plan) == expected


@pytest.mark.parametrize("coefficient", [0.5, 0])
def test_a_coefficient_costs_nothing_and_without_one_no_operation_is_left(coefficient):
    plan = Plan(tuple(step("add", place) for place in LAYERS))
    assert per_decoding_step(plan, coefficient=coefficient) == (LAYER_COUNT if coefficient else 0)
    assert per_decoding_step([plan, plan], coefficient=[coefficient, 2]) == LAYER_COUNT


def test_a_schedule_costs_one_operation_a_layer_more_where_it_changes_the_coefficient_and_none_elsewhere():
    plan = Plan(tuple(step("add", place) for place in LAYERS))
    assert per_decoding_step(plan, schedule=lambda index: 0.5**index) == 2 * LAYER_COUNT
    assert per_decoding_step(plan, schedule=lambda index: 0.5 if index else 1.0) == LAYER_COUNT

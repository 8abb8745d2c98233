"""Blocks inside blocks steer by their plans in order, however they end, and leave the model as it was."""

from __future__ import annotations

import pytest
import torch

from tests.hooks.probe import add_plan, direction_of
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.tiny_models import tiny_model
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

PLACE = Place("resid_pre", 1)
STEPS = [step("ablate"), step("piecewise", seed=1), step("keepnorm", seed=2, tokens="generated")]


@pytest.fixture
def model():
    return tiny_model("llama")


def logits(model):
    options = {"output_logits": True, "return_dict_in_generate": True}
    return torch.stack(model.generate(**LEFT, **GREEDY, **options).logits)


def steered(model, steps):
    with steer(model, Plan(tuple(steps))):
        return logits(model)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_nested_blocks_are_one_plan_with_the_outer_steps_first(model, order):
    first, second, third = (Plan((STEPS[number],)) for number in order)
    with steer(model, first), steer(model, second), steer(model, third):
        nested = logits(model)
    assert torch.equal(nested, steered(model, [STEPS[number] for number in order]))


@pytest.mark.parametrize("leaving", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_blocks_may_end_in_any_order(model, leaving):
    before = logits(model)
    blocks = [steer(model, Plan((each,))) for each in STEPS]
    for block in blocks:
        block.__enter__()
    inside = {0, 1, 2}
    for number in leaving:
        assert torch.equal(logits(model), steered(tiny_model("llama"), [STEPS[n] for n in sorted(inside)]))
        blocks[number].__exit__(None, None, None)
        inside.remove(number)
    assert torch.equal(logits(model), before)
    assert "generate" not in model.__dict__
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_plan_for_all_rows_and_plans_for_each_may_be_nested(model):
    everyone, row = step("add"), step("ablate", seed=3)
    with steer(model, Plan((everyone,))), steer(model, [None, Plan((row,))]):
        nested = logits(model)
    with steer(model, [Plan((everyone,)), Plan((everyone, row))]):
        assert torch.equal(nested, logits(model))


def test_a_generate_of_the_models_own_is_put_back(model):
    called = []

    def own(*args, **kwargs):
        called.append(1)
        return type(model).generate(model, *args, **kwargs)

    model.generate = own
    with steer(model, add_plan(PLACE, direction_of(32), "last")), steer(model, add_plan(PLACE, direction_of(32))):
        model.generate(**LEFT, **GREEDY)
    assert model.generate is own
    assert called == [1]


def test_a_generate_that_somebody_put_there_meanwhile_stays_theirs(model):
    before = logits(model)
    with steer(model, add_plan(PLACE, direction_of(32))):
        ours = model.generate
        model.generate = lambda *args, **kwargs: ours(*args, **kwargs)  # noqa: PLW0108 - another object
        theirs = model.generate
    assert model.generate is theirs
    assert torch.equal(logits(model), before)


def test_an_exception_in_the_inner_block_leaves_the_outer_one(model):
    outer = Plan((STEPS[1],))
    expected = steered(tiny_model("llama"), outer.steps)
    with steer(model, outer):
        with pytest.raises(KeyboardInterrupt), steer(model, Plan((STEPS[0],))):
            raise KeyboardInterrupt
        assert torch.equal(logits(model), expected)


def test_two_models_steered_at_once_do_not_meet(model):
    other = tiny_model("llama", seed=1)
    alone = steered(model, STEPS[:1]), steered(other, STEPS[1:2])
    with steer(model, Plan(tuple(STEPS[:1]))), steer(other, Plan(tuple(STEPS[1:2]))):
        together = logits(model), logits(other)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))

"""Plans and coefficients can be changed between passes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from tests.hooks.probe import add_plan, direction_of, witness
from tests.hooks.test_gate import gate
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

PLACE, LATER = Place("resid_pre", 1), Place("resid_post", 1)
V = direction_of(32)
ADDITIVE = ("add", "keepnorm", "piecewise")
OTHERS = ("ablate", "clamp", "affine")
LONG = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}


@pytest.fixture
def model():
    return tiny_model("llama")


def logits(model, inputs=LEFT, **options):
    options = {**GREEDY, **options, "output_logits": True, "return_dict_in_generate": True}
    return torch.stack(model.generate(**inputs, **options).logits)


def steered(plan, **options):
    """Return what a model of its own gives under `plan`."""
    model = tiny_model("llama")
    with steer(model, plan):
        return logits(model, **options)


def times(number, plan):
    """Return the plan with its vectors multiplied by a power of two, which rounds nothing."""
    return Plan(tuple(replace(each, direction=number * each.direction) for each in plan.steps))


def hooks(model):
    return {(name, key) for name, module in model.named_modules() for key in _ids(module)}


def _ids(module):
    return (*module._forward_hooks, *module._forward_pre_hooks)


# Plans


def test_another_plan_steers_from_the_next_call_on_and_no_hook_that_it_needs_is_taken_away(model):
    first, second = Plan((step("ablate"),)), Plan((step("add", seed=1), step("clamp", LATER, seed=2)))
    with steer(model, first) as steering:
        assert torch.equal(logits(model), steered(first))
        before, ours = hooks(model), model.generate
        steering.change(second)
        assert torch.equal(logits(model), steered(second))
        assert before < hooks(model)
        assert model.generate == ours
        steering.change(first)
        assert torch.equal(logits(model), steered(first))
        assert hooks(model) == before
    assert not hooks(model)
    assert "generate" not in model.__dict__


def test_one_plan_may_become_one_for_each_row_and_none_at_all(model):
    one, two = (Plan((step("add", seed=seed),)) for seed in (1, 2))
    unsteered = logits(model)
    with steer(model, one) as steering:
        for plan in ([two, None], [one, two], one, [None, one]):
            steering.change(plan)
            assert torch.equal(logits(model), steered(plan))
        steering.change(Plan())
        assert torch.equal(logits(model), unsteered)
        steering.change(two)
        assert torch.equal(logits(model), steered(two))


def test_an_outer_block_that_changes_still_comes_before_the_inner_one(model):
    first, second = Plan((step("ablate", LATER),)), Plan((step("piecewise", LATER, seed=3),))
    with steer(model, Plan((step("add"),))) as outer, steer(model, second):
        outer.change(first)
        assert torch.equal(logits(model), steered(Plan((*first.steps, *second.steps))))
    assert not hooks(model)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (add_plan(PLACE, direction_of(8)), MisfitError),
        (Plan((gate(step("add", LATER), 0, tokens="generated"),)), InvalidInputError),
        ([], InvalidInputError),
    ],
)
def test_a_plan_that_does_not_fit_leaves_the_old_one_in_force(model, plan, error):
    old = Plan((step("add"),))
    with steer(model, old) as steering:
        before = hooks(model)
        with pytest.raises(error):
            steering.change(plan)
        assert hooks(model) == before
        assert torch.equal(logits(model), steered(old))


def test_a_site_that_only_some_layers_have_leaves_the_old_plan_in_force():
    pytest.importorskip("transformers.models.nemotron_h", reason="transformers 4 has no such model")
    model = tiny_model("nemotron_h")
    old = add_plan(Place("resid_pre", 0), V)
    with steer(model, old) as steering:
        before = hooks(model)
        with pytest.raises(InvalidInputError, match=r"attn_out at layer 1"):
            steering.change(add_plan(Place("attn_out", 1), V))
        assert hooks(model) == before


class Changing:
    """A streamer that changes the plan after so many tokens."""

    def __init__(self, change, after):
        self.change, self.left = change, after

    def put(self, _):
        self.left -= 1
        if self.left < 0:  # the first it gets is the prompt
            self.change()
            self.left = 1000

    def end(self): ...


def test_a_change_between_two_tokens_holds_from_the_next_one_on(model):
    blocks = []

    @contextmanager
    def block():
        with steer(model, add_plan(PLACE, V)) as steering:
            blocks.append(steering)
            yield

    ids = LEFT["input_ids"][1:]
    streamer = Changing(lambda: blocks[0].change(add_plan(PLACE, 4 * V)), after=2)
    seen = witness(model, PLACE, block(), lambda: model.generate(ids, **LONG, streamer=streamer))
    factors = torch.tensor([1.0] * 6 + [4.0] * 4)[:, None]
    torch.testing.assert_close(seen.added[0], factors * V, atol=1e-5, rtol=1e-5)


def test_another_number_of_rows_is_refused_while_generate_is_under_way(model):
    def change():
        with pytest.raises(InvalidInputError, match="the batch has 1 rows, but 2 plans were given"):
            steering.change([None, None])
        refused.append(1)

    plan, refused = add_plan(PLACE, V), []
    with steer(model, plan) as steering:
        model.generate(LEFT["input_ids"][1:], **LONG, streamer=Changing(change, after=1))
        assert torch.equal(logits(model), steered(plan))
    assert refused


def test_a_block_that_has_ended_takes_no_changes(model):
    with steer(model, add_plan(PLACE, V)) as steering:
        pass
    for change in (lambda: steering.change(Plan()), lambda: setattr(steering, "coefficient", 2)):
        with pytest.raises(InvalidInputError, match="the block that steered has ended"):
            change()
    assert not hooks(model)


# Coefficients


@pytest.mark.parametrize("tokens", ["all", "generated", "prompt_front"])
@pytest.mark.parametrize("operator", ADDITIVE)
@pytest.mark.parametrize("number", [2, 0.5, -1])
def test_a_coefficient_multiplies_the_vectors(model, operator, tokens, number):
    plan = Plan((step(operator, tokens=tokens),))
    with steer(model, plan) as steering:
        steering.coefficient = number
        assert steering.coefficient == number
        assert torch.equal(logits(model), steered(times(number, plan)))
        steering.coefficient = 1
        assert torch.equal(logits(model), steered(plan))


def test_a_half_precision_model_gets_the_product_rounded_once():
    model = tiny_model("llama").to(torch.bfloat16)
    steering = steer(model, add_plan(PLACE, V), schedule=lambda _: 0.3)
    seen = witness(model, PLACE, steering, lambda: model(**LEFT))
    assert torch.equal(seen.after[0][1], seen.before[0][1] + (V * 0.3).to(torch.bfloat16))


@pytest.mark.parametrize("operator", ADDITIVE)
@pytest.mark.parametrize("rows", [False, True])
def test_a_coefficient_of_0_leaves_every_bit(model, operator, rows):
    zeros = torch.full((2, 5, 32), -0.0)
    handle = model.model.layers[0].register_forward_hook(lambda *_: zeros)
    plan = Plan((step(operator),))
    with steer(model, [plan, plan] if rows else plan) as steering:
        steering.coefficient = [0, 0] if rows else 0
        seen = witness(model, PLACE, steer(model, Plan()), lambda: model(**LEFT))
    handle.remove()
    assert torch.signbit(seen.after[0]).all()


def test_rows_have_coefficients_of_their_own(model):
    plans = [Plan((step("add"), step("keepnorm", LATER, seed=1))), Plan((step("piecewise", seed=2),))]
    with steer(model, plans) as steering:
        for numbers in ([2, -0.5], [0, 1], (0.25, 0), torch.tensor([4.0, 2.0])):
            steering.coefficient = numbers
            alone = [times(float(number), plan) for number, plan in zip(numbers, plans, strict=True)]
            expected = steered([plan if number else None for number, plan in zip(numbers, alone, strict=True)])
            assert torch.equal(logits(model), expected)
        assert steering.coefficient == (4, 2)


def test_beams_and_returned_sequences_have_the_coefficient_of_their_prompt(model):
    plan = add_plan(PLACE, V)
    with steer(model, [plan, plan]) as steering:
        steering.coefficient = [2, 0.5]
        for options in ({"num_beams": 2}, {"num_beams": 4, "num_return_sequences": 2}):
            ours = model.generate(**LEFT, **GREEDY, **options)
            other = tiny_model("llama")
            with steer(other, [times(2, plan), times(0.5, plan)]):
                assert torch.equal(ours, other.generate(**LEFT, **GREEDY, **options))


@pytest.mark.parametrize("operator", OTHERS)
def test_other_operators_take_no_coefficient(model, operator):
    old, fixed = Plan((step("add"),)), Plan((step("add"), gate(step(operator, LATER), -1e6)))
    expected = f"'{operator}' takes no coefficient"
    with steer(model, fixed) as steering:
        with pytest.raises(InvalidInputError, match=expected):
            steering.coefficient = 0.5
        assert steering.coefficient == 1
        steering.coefficient = 1
        assert torch.equal(logits(model), steered(fixed))
    with steer(model, old) as steering:
        steering.coefficient = 0.5
        with pytest.raises(InvalidInputError, match=expected):
            steering.change(fixed)
        assert torch.equal(logits(model), steered(times(0.5, old)))
    with pytest.raises(InvalidInputError, match=expected), steer(model, fixed, schedule=lambda _: 1):
        pytest.fail("it was steered")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "much", None, [1, float("nan")]])
def test_a_coefficient_is_a_finite_number(model, value):
    with steer(model, [Plan(), Plan()]) as steering:
        with pytest.raises(InvalidInputError, match="give a finite number"):
            steering.coefficient = value
        assert steering.coefficient == 1


def test_numbers_for_rows_need_a_plan_for_each(model):
    plan = add_plan(PLACE, V)
    for plans, count, there in ((plan, 2, "one plan"), ([plan, plan], 3, "2 rows"), ([plan], 0, "1 rows")):
        with steer(model, plans) as steering:
            with pytest.raises(InvalidInputError, match=f"there are {count} coefficients for {there}"):
                steering.coefficient = [1] * count
    with steer(model, [plan, plan]) as steering:
        steering.coefficient = [1, 2]
        with pytest.raises(InvalidInputError, match="there are 2 coefficients for one plan"):
            steering.change(plan)
        assert torch.equal(logits(model), steered([plan, times(2, plan)]))


def test_a_product_that_the_model_cannot_hold_is_an_error():
    model = tiny_model("llama").to(torch.float16)
    with steer(model, add_plan(PLACE, V)) as steering:
        steering.coefficient = 1e5
        with pytest.raises(InvalidInputError, match=r"the direction at resid_pre\.1 is larger than torch\.float16"):
            model(**LEFT)


def test_a_coefficient_multiplies_what_a_gate_opens_and_not_what_it_reads(model):
    plan = Plan((gate(step("add", LATER), 0.0),))
    inner = plan.steps[0].inner
    doubled = Plan((replace(plan.steps[0], inner=replace(inner, direction=2 * inner.direction)),))
    with steer(model, plan) as steering:
        steering.coefficient = 2
        assert torch.equal(logits(model), steered(doubled))

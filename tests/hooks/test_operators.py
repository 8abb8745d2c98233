"""Every operator does to the activations exactly what `plan.Step` says, at every site, to the right tokens only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.hooks.probe import direction_of, witness
from tests.hooks.reference import carried_out
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.operators import OPERATORS, get_operator
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan, Step
from vectorstore.tokens import BY_POSITION

PLACE = Place("resid_pre", 1)
LEFT = {
    "input_ids": torch.tensor([[0, 0, 1, 5, 9], [1, 40, 3, 12, 33]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
}
RIGHT = {
    "input_ids": torch.tensor([[1, 5, 9, 0, 0], [1, 40, 3, 12, 33]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
}
GREEDY = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
STEERED = {  # of LEFT, with three tokens generated: the last of them is never run
    "prompt": [[2, 3, 4], [0, 1, 2, 3, 4]],
    "generated": [[4, 5, 6], [4, 5, 6]],
    "last": [[4], [4]],
    "prompt_front": [[2, 3, 4], [0, 1, 2]],
    "prompt_middle": [[2, 3, 4], [1, 2, 3]],
    "prompt_back": [[2, 3, 4], [2, 3, 4]],
    "all": [[2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]],
}
STEERED_RIGHT = {
    "prompt": [[0, 1, 2], [0, 1, 2, 3, 4]],
    "generated": [[2], [4]],
    "last": [[2], [4]],
    "prompt_front": [[0, 1, 2], [0, 1, 2]],
    "prompt_middle": [[0, 1, 2], [1, 2, 3]],
    "prompt_back": [[0, 1, 2], [2, 3, 4]],
    "all": [[0, 1, 2], [0, 1, 2, 3, 4]],
}
NAMES = ("add", "keepnorm", "piecewise", "ablate", "clamp", "affine", "affine with base")


def step(name, place=PLACE, tokens="all", *, width=32, seed=0, scale=1.0):  # noqa: PLR0913 - a step has as many
    """Return a step of this operator; its numbers are none that would hide a mistake."""
    rows = 3 if tokens in BY_POSITION else None
    direction = (scale * direction_of(width, rows, seed)).numpy()
    operator, _, base = name.partition(" ")
    params = {"value": -1.75} if operator in ("clamp", "affine") else {}
    reference = direction_of(width, seed=seed + 50).numpy() if base else None
    return Step(operator, place, tokens, direction, params, reference)


def generated(model, plan, place=PLACE, inputs=LEFT, **options):
    """Return the activations at `place` before and after the steering, all passes side by side."""
    seen = witness(model, place, steer(model, plan), lambda: model.generate(**inputs, **{**GREEDY, **options}))
    return torch.cat(seen.before, dim=1), torch.cat(seen.after, dim=1)


def check(before, after, steps, steered=STEERED):
    """Compare with the reference; what is not steered must be equal in every bit."""
    torch.testing.assert_close(after.double(), carried_out(before, list(steps), steered), atol=5e-7, rtol=2e-6)
    touched = torch.zeros(before.shape[:2], dtype=torch.bool)
    for each in steps:
        for row, columns in enumerate(steered[each.tokens]):
            touched[row, columns] = True
    assert torch.equal(after[~touched], before[~touched])
    assert not torch.equal(after[touched], before[touched])


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.mark.parametrize("tokens", STEERED)
@pytest.mark.parametrize("name", NAMES)
def test_generate_carries_out_the_operator_on_these_tokens_of_a_left_padded_batch(model, name, tokens):
    steps = [step(name, tokens=tokens)]
    check(*generated(model, Plan(tuple(steps))), steps)


@pytest.mark.parametrize("tokens", STEERED)
@pytest.mark.parametrize("name", NAMES)
def test_a_bare_forward_carries_out_the_operator_on_right_padded_texts(model, name, tokens):
    steps = [step(name, tokens=tokens)]
    seen = witness(model, PLACE, steer(model, Plan(tuple(steps))), lambda: model(**RIGHT))
    check(seen.before[0], seen.after[0], steps, STEERED_RIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_cache_every_pass_is_steered_alike(model, name):
    steps = [step(name)]
    run = lambda: model.generate(**LEFT, **GREEDY, use_cache=False)
    seen = witness(model, PLACE, steer(model, Plan(tuple(steps))), run)
    check(seen.before[-1], seen.after[-1], steps)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_operator_is_the_same_at_one_site_of_every_architecture(architecture, name):
    model = tiny_model(architecture)
    site = SITES[(ARCHITECTURES.index(architecture) + NAMES.index(name)) % len(SITES)]
    place = Place(site, 1)
    steps = [step(name, place, width=site_widths(model)[site])]
    seen = witness(model, place, steer(model, Plan(tuple(steps))), lambda: model(**RIGHT))
    check(in_batch(seen.before[0]), in_batch(seen.after[0]), steps, STEERED_RIGHT)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("architecture", ["opt", "falcon"])
def test_the_operator_is_the_same_at_every_site(architecture, name, site):
    model = tiny_model(architecture)
    place = Place(site, 2)
    steps = [step(name, place, width=site_widths(model)[site])]
    seen = witness(model, place, steer(model, Plan(tuple(steps))), lambda: model(**RIGHT))
    check(in_batch(seen.before[0]), in_batch(seen.after[0]), steps, STEERED_RIGHT)


def in_batch(hidden):
    return hidden.reshape(2, 5, -1)  # OPT's MLP flattens the first two


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
@pytest.mark.parametrize("name", NAMES)
def test_beams_and_returned_sequences_are_steered_too(model, name, options):
    steps = [step(name, tokens="prompt_front")]
    before, after = generated(model, Plan(tuple(steps)), **options)
    check(before, after, steps, {"prompt_front": [[2, 3, 4]] * 2 + [[0, 1, 2]] * 2})


# The closed forms.


def test_after_ablate_nothing_is_left_along_the_direction_and_all_else_is(model):
    ablated = step("ablate", scale=7)
    before, after = generated(model, Plan((ablated,)))
    unit = torch.from_numpy(ablated.direction) / np.linalg.norm(ablated.direction)
    assert (before @ unit).abs().max() > 0.02
    torch.testing.assert_close((after @ unit)[1], torch.zeros(7), atol=1e-6, rtol=0)
    others = torch.linalg.qr(torch.cat([unit[:, None], torch.randn(32, 31)], dim=1)).Q[:, 1:]
    torch.testing.assert_close(after @ others, before @ others, atol=1e-6, rtol=1e-6)


def test_after_clamp_the_part_is_the_value_whatever_it_was(model):
    clamped = step("clamp", scale=7)
    _, after = generated(model, Plan((clamped,)))
    unit = torch.from_numpy(clamped.direction) / np.linalg.norm(clamped.direction)
    torch.testing.assert_close((after @ unit)[1], torch.full((7,), -1.75), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("value", "side"), [(0.0, "negative"), (1.0, "positive")])
def test_affine_takes_the_part_to_the_mean_of_either_side(model, value, side):
    negative, positive = direction_of(32, seed=4).numpy(), direction_of(32, seed=5).numpy()
    edited = Step("affine", PLACE, "all", positive - negative, {"value": value}, negative)
    _, after = generated(model, Plan((edited,)))
    unit = torch.from_numpy(edited.direction / np.linalg.norm(edited.direction))
    expected = float(torch.from_numpy({"negative": negative, "positive": positive}[side]) @ unit)
    torch.testing.assert_close((after @ unit)[1], torch.full((7,), expected), atol=2e-6, rtol=1e-6)


def test_affine_without_a_base_point_is_ablate_and_then_add(model):
    edited = step("affine")
    value = edited.params["value"]
    two = (step("ablate"), Step("add", PLACE, "all", (value * edited.direction).astype(np.float32)))
    one, other = (generated(model, plan)[1] for plan in (Plan((edited,)), Plan(two)))
    torch.testing.assert_close(one, other, atol=2e-6, rtol=2e-6)


def test_after_keepnorm_every_norm_is_what_it_was_and_the_way_it_points_is_that_of_add(model):
    kept, added = step("keepnorm", scale=3), step("add", scale=3)
    before, after = generated(model, Plan((kept,)))
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), atol=1e-6, rtol=1e-6)
    moved = witness(model, PLACE, steer(model, Plan((added,))), lambda: model(**LEFT)).after[0][1]
    cosines = torch.nn.functional.cosine_similarity(after[1, :5], moved, dim=-1)
    torch.testing.assert_close(cosines, torch.ones(5), atol=1e-6, rtol=0)


# What is to change nothing changes no bit.


def test_a_row_of_zeros_changes_no_bit(model):
    rows = direction_of(32, 3).numpy().copy()
    rows[1] = 0
    for name in ("add", "keepnorm", "piecewise", "ablate", "clamp", "affine"):
        params = {"value": 2.0} if name in ("clamp", "affine") else {}
        before, after = generated(model, Plan((Step(name, PLACE, "prompt_front", rows, params),)))
        assert torch.equal(after[1, 1], before[1, 1])
        assert not torch.equal(after[1, 0], before[1, 0])


def test_keepnorm_of_nothing_stays_nothing_and_of_its_opposite_keeps_the_norm():
    hidden, zero = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.zeros(2)
    turn = get_operator("keepnorm").change
    assert torch.equal(turn(hidden, zero, zero[:1]), hidden)
    assert torch.equal(turn(hidden, torch.tensor([-3.0, -4.0]), zero[:1])[1], hidden[1])


def test_gradients_stay_finite_where_keepnorm_meets_nothing_and_its_opposite():
    hidden = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    for direction in (torch.zeros(2), torch.tensor([-3.0, -4.0])):
        changed = get_operator("keepnorm").change(hidden, direction, torch.zeros(1))
        (gradient,) = torch.autograd.grad(changed.sum(), hidden)
        assert gradient.isfinite().all()


def test_a_direction_that_is_not_a_number_is_refused(model):
    direction = direction_of(32).numpy().copy()
    direction[3] = np.nan
    plan = Plan((Step("add", PLACE, "all", direction),))
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 holds what is no number"), steer(model, plan):
        pytest.fail("it was steered")


def test_a_part_that_is_what_it_should_be_changes_no_bit():
    axis = np.eye(32, dtype=np.float32)[3]
    hidden = torch.randn(2, 5, 32)
    hidden[..., 3] = -1.75
    for name, params in (("clamp", {"value": -1.75}), ("affine", {"value": -1.75})):
        operator = get_operator(name)
        unit, target = operator.prepare(Step(name, PLACE, "all", axis, params))
        pair = torch.from_numpy(unit).float(), torch.from_numpy(target).float()
        assert torch.equal(operator.change(hidden, *pair), hidden)


# The order of a plan, and many steps at one place.


def test_the_order_of_a_plan_is_kept(model):
    ablate, add = step("ablate"), step("add", seed=1)
    results = []
    for steps in ([ablate, add], [add, ablate]):
        before, after = generated(model, Plan(tuple(steps)))
        check(before, after, steps)
        results.append(after)
    assert (results[0] - results[1]).abs().max() > 0.01


def test_all_operators_at_one_place_on_all_kinds_of_tokens_run_as_written(model):
    steps = [step(name, tokens=tokens, seed=n) for n, name in enumerate(NAMES) for tokens in STEERED]
    np.random.default_rng(1).shuffle(steps)
    before, after = generated(model, Plan(tuple(steps)))
    torch.testing.assert_close(after.double(), carried_out(before, steps, STEERED), atol=2e-5, rtol=2e-5)
    assert torch.equal(after[0, :2], before[0, :2]), "padding"


def test_steps_at_several_places_each_meet_what_those_before_them_left(model):
    first, second = step("clamp", Place("attn_out", 0)), step("keepnorm", Place("resid_post", 0), seed=1)
    plan = Plan((second, first))  # layers come in the order of the model anyway
    for each in (first, second):
        check(*generated(model, plan, each.place), [each])


# Precision.


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_in_a_half_precision_model_only_the_result_is_rounded(name, dtype):
    """`add` is the exception: it adds in the model's dtype, as a bias would."""
    model = tiny_model("llama").to(dtype)
    one = step(name)
    seen = witness(model, PLACE, steer(model, Plan((one,))), lambda: model(**RIGHT))
    before, after = seen.before[0], seen.after[0]
    assert after.dtype == dtype
    exact = carried_out(before, [one], STEERED_RIGHT)
    if name == "add":
        assert torch.equal(after[1], before[1] + torch.from_numpy(one.direction).to(dtype))
    else:
        nearest = exact.to(dtype).double()
        spacing = torch.finfo(dtype).eps * nearest.abs().clamp(min=torch.finfo(dtype).tiny)
        assert ((after.double() - nearest).abs() <= spacing).all(), "at most the neighbour of the nearest"
        assert (after.double() == nearest).double().mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_a_float64_model_is_steered_in_float64(name):
    model = tiny_model("llama").double()
    one = step(name)
    seen = witness(model, PLACE, steer(model, Plan((one,))), lambda: model(**RIGHT))
    assert seen.after[0].dtype == torch.float64
    torch.testing.assert_close(seen.after[0], carried_out(seen.before[0], [one], STEERED_RIGHT), atol=1e-6, rtol=1e-6)


def test_a_part_that_the_models_dtype_cannot_hold_is_an_error():
    model = tiny_model().half()
    plan = Plan((Step("clamp", PLACE, "all", direction_of(32).numpy(), {"value": 1e6}),))
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 is larger than torch.float16 holds"), steer(model, plan):
        model(**RIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_flow_through_every_operator(name):
    model = tiny_model("llama")
    with steer(model, Plan((step(name, Place("resid_post", 2)),))):
        model(**RIGHT).logits.square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_steering_first_run_in_inference_mode_can_be_trained_through_afterwards():
    model = tiny_model("llama")
    with steer(model, Plan(tuple(step(name) for name in NAMES))):
        with torch.inference_mode():
            model(**RIGHT)
        model(**RIGHT).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# The weight form (Arditi et al., arXiv 2406.11717).


def test_ablation_at_every_place_that_writes_equals_the_orthogonalised_weights():
    model, baked = tiny_model("llama", tie_word_embeddings=False), tiny_model("llama", tie_word_embeddings=False)
    direction = direction_of(32, seed=8).numpy()
    unit = torch.from_numpy(direction / np.linalg.norm(direction))
    written = [baked.model.embed_tokens.weight.data.T]  # [d_model, …] each
    for layer in baked.model.layers:
        written += [layer.self_attn.o_proj.weight.data, layer.mlp.down_proj.weight.data]
    for weight in written:
        weight.sub_(torch.outer(unit, unit @ weight))
    places = [Place(site, layer) for layer in range(3) for site in ("resid_pre", "attn_out", "mlp_out")]
    plan = Plan(tuple(Step("ablate", place, "all", direction) for place in places))
    with torch.no_grad():
        unsteered = model(**RIGHT).logits
        with steer(model, plan):
            steered = model(**RIGHT).logits
            texts = model.generate(**LEFT, **GREEDY)
        expected = baked(**RIGHT).logits
        real = RIGHT["attention_mask"].bool()
        torch.testing.assert_close(steered[real], expected[real], atol=1e-5, rtol=1e-5)
        assert (steered - unsteered)[real].abs().max() > 1e-2
        assert torch.equal(texts, baked.generate(**LEFT, **GREEDY))


def test_every_operator_is_found_by_its_name():
    assert all(get_operator(name) is operator for name, operator in OPERATORS.items())

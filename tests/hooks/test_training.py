"""Gradients flow through steering, to the model and to a vector, also where activations are computed again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.hooks.probe import add_plan, direction_of
from tests.hooks.test_gate import gate
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_module
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan

PLACE, LATER = Place("resid_post", 1), Place("mlp_out", 2)
OTHER = {
    "input_ids": torch.tensor([[1, 3, 3, 0, 0], [1, 9, 8, 7, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]),
}
KINDS = ("add", "keepnorm", "piecewise")
REENTRANT = [True, False]
EVERYWHERE = Plan(
    (
        step("add", Place("resid_pre", 0), "prompt"),
        step("keepnorm", Place("attn_out", 0), seed=1),
        step("piecewise", Place("mlp_out", 1), "last", seed=2),
        step("clamp", Place("head_out", 1), "generated", seed=3),
        gate(step("ablate", Place("mlp_out", 2), seed=4), 0.0, Place("attn_out", 1)),
        step("affine", Place("resid_post", 2), "prompt_back", seed=5),
    )
)


def gradients(model, losses, steering):
    """Return every parameter's gradient of the sum of `losses`, after one backward pass inside the block."""
    model.zero_grad()
    with steering as block:
        total = sum(loss(block) if block else loss(None) for loss in losses)
        total.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def loss_of(model, inputs=LEFT, scale=1.0):
    weights = torch.linspace(-1, 1, 64)
    return lambda _: scale * (model(**inputs, use_cache=False).logits.log_softmax(-1) * weights).sum()


def same(one, other):
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], atol=1e-6, rtol=1e-4) for n in one)


def enable_checkpoints(model, reentrant):
    """Switch checkpoints on, by the name that transformers gives it from 5.20 on, or the older one."""
    name = "activation_checkpointing_enable"
    getattr(model, name if hasattr(model, name) else "gradient_checkpointing_enable")({"use_reentrant": reentrant})


def checkpointed(reentrant, architecture="llama"):
    model = tiny_model(architecture).train()
    enable_checkpoints(model, reentrant)
    model.enable_input_require_grads()
    return model


# The model's gradients


def test_the_models_gradients_are_those_of_a_hook_made_by_hand():
    model, vector = tiny_model("llama"), direction_of(32)
    ours = gradients(model, [loss_of(model)], steer(model, add_plan(PLACE, vector)))
    real = LEFT["attention_mask"][..., None]
    handle = model.model.layers[1].register_forward_hook(lambda _m, _a, output: output + real * vector)
    model.zero_grad()
    loss_of(model)(None).backward()
    handle.remove()
    assert same(ours, {name: parameter.grad for name, parameter in model.named_parameters()})


@pytest.mark.parametrize("operator", ["keepnorm", "piecewise", "ablate", "clamp", "affine"])
def test_gradients_flow_through_every_operator_exactly(operator):
    model = tiny_model("gpt2").double()
    embeds = torch.randn(1, 3, 32, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with steer(model, Plan((step(operator, PLACE),))):
        assert torch.autograd.gradcheck(lambda x: model(inputs_embeds=x, use_cache=False).logits[..., :4], (embeds,))


# A vector that is the parameter


@pytest.mark.parametrize("site", SITES)
def test_a_tensor_is_steered_by_and_gets_the_gradient_of_a_hook_made_by_hand(site):
    model, place = tiny_model("llama"), Place(site, 1)
    ours, theirs = (nn.Parameter(direction_of(32).clone()) for _ in range(2))
    with steer(model, add_plan(place, torch.zeros(32)), tensors={place: ours}):
        loss_of(model)(None).backward()
    module, side = site_module(model, place)
    real = LEFT["attention_mask"][..., None]
    if side == "input":
        handle = module.register_forward_pre_hook(lambda _m, args: (args[0] + real * theirs, *args[1:]))
    else:
        handle = module.register_forward_hook(
            lambda _m, _a, out: out + real * theirs if torch.is_tensor(out) else (out[0] + real * theirs, *out[1:])
        )
    loss_of(model)(None).backward()
    handle.remove()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert ours.grad.abs().sum() > 0


@pytest.mark.parametrize("tokens", ["all", "last", "prompt_middle"])
@pytest.mark.parametrize("operator", KINDS)
def test_the_gradient_of_a_tensor_is_exact(operator, tokens):
    model = tiny_model("gpt2").double()
    plan = Plan((step(operator, PLACE, tokens),))
    tensor = nn.Parameter(torch.from_numpy(plan.steps[0].direction.copy()).double())

    def logits(vector):
        with steer(model, plan, tensors={PLACE: vector}) as steering:
            steering.coefficient = 0.7
            return model(**LEFT, use_cache=False).logits[:, -1, :4]

    assert torch.autograd.gradcheck(logits, (tensor,))


def test_a_tensor_is_read_anew_in_each_pass_and_equals_the_plan_with_its_values():
    model, vector = tiny_model("llama").to(torch.bfloat16), direction_of(32)
    parameter = nn.Parameter(torch.zeros(32))
    for number in (1.0, 0.5):
        with steer(model, add_plan(PLACE, torch.zeros(32)), tensors={PLACE: parameter}) as steering:
            steering.coefficient = number
            for factor in (1, -2):
                parameter.data.copy_(factor * vector)
                with steer(tiny := tiny_model("llama").to(torch.bfloat16), add_plan(PLACE, factor * number * vector)):
                    assert torch.equal(model.generate(**LEFT, **GREEDY), tiny.generate(**LEFT, **GREEDY))
                    assert torch.equal(model(**LEFT).logits, tiny(**LEFT).logits)


def test_a_vector_can_be_trained_by_gradient_descent():
    model = tiny_model("llama").requires_grad_(False)
    parameter = nn.Parameter(torch.zeros(32))
    optimiser = torch.optim.Adam([parameter], lr=0.3)
    losses = []
    with steer(model, add_plan(PLACE, torch.zeros(32)), tensors={PLACE: parameter}):
        for _ in range(30):
            optimiser.zero_grad()
            loss = -model(**LEFT).logits[:, -1].log_softmax(-1)[:, 7].sum()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("plan", "tensors"),
    [
        (add_plan(PLACE, direction_of(32)), {LATER: torch.zeros(32)}),
        ([add_plan(PLACE, direction_of(32))] * 2, {PLACE: torch.zeros(32)}),
        (Plan((step("add", PLACE), step("add", PLACE, "last"))), {PLACE: torch.zeros(32)}),
        (Plan((step("ablate", PLACE),)), {PLACE: torch.zeros(32)}),
        (add_plan(PLACE, direction_of(32)), {PLACE: torch.zeros(16)}),
        (add_plan(PLACE, direction_of(32)), {PLACE: torch.zeros(32, dtype=torch.long)}),
    ],
)
def test_a_tensor_that_stands_for_no_direction_is_refused(plan, tensors):
    model = tiny_model("llama")
    with pytest.raises(InvalidInputError, match="cannot stand for"), steer(model, plan, tensors=tensors):
        pytest.fail("it was steered")
    assert "generate" not in model.__dict__


# Activations that are computed again


@pytest.mark.parametrize("reentrant", REENTRANT)
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "falcon"])
def test_what_is_computed_again_is_steered_as_it_was(architecture, reentrant):
    """Two batches with other masks and one backward pass."""
    plain, model = tiny_model(architecture).train(), checkpointed(reentrant, architecture)
    if architecture != "llama":  # no dropout, which reentrant checkpoints repeat and two models do not share
        for module in (*plain.modules(), *model.modules()):
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    losses = lambda each: [loss_of(each), loss_of(each, OTHER, scale=-2.0)]
    steered = gradients(plain, losses(plain), steer(plain, EVERYWHERE))
    assert same(gradients(model, losses(model), steer(model, EVERYWHERE)), steered)
    assert not same(gradients(model, losses(model), steer(model, Plan())), steered)


@pytest.mark.parametrize("reentrant", REENTRANT)
def test_a_change_before_the_backward_pass_changes_nothing_of_what_was_steered(reentrant):
    plain, model = tiny_model("llama").train(), checkpointed(reentrant)
    plan = Plan((step("add", LATER), step("piecewise", Place("attn_out", 1), seed=1)))
    doubled = Plan(tuple(replace(each, direction=2 * each.direction) for each in plan.steps))
    expected = [gradients(plain, [loss_of(plain)], steer(plain, each)) for each in (doubled, plan)]

    def run(steering):
        steering.coefficient = 2
        first = loss_of(model)(None)
        steering.coefficient = 1
        second = loss_of(model)(None)
        steering.change(Plan((step("add", LATER, seed=9),)))
        return first + second

    ours = gradients(model, [run], steer(model, plan))
    assert same(ours, {name: expected[0][name] + expected[1][name] for name in ours})


@pytest.mark.parametrize("reentrant", REENTRANT)
def test_a_tensor_gets_its_gradient_where_activations_are_computed_again(reentrant):
    results = []
    for model in (tiny_model("llama").train(), checkpointed(reentrant)):
        parameter = nn.Parameter(direction_of(32).clone())
        with steer(model, add_plan(LATER, torch.zeros(32)), tensors={LATER: parameter}):
            loss_of(model)(None).backward()
        results.append(parameter.grad)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("reentrant", REENTRANT)
def test_nested_blocks_steer_again_each_its_own(reentrant):
    plain, model = tiny_model("llama").train(), checkpointed(reentrant)
    inner = Plan((step("add", LATER, seed=3),))
    with steer(plain, EVERYWHERE):
        expected = gradients(plain, [loss_of(plain)], steer(plain, inner))
    with steer(model, EVERYWHERE):
        assert same(gradients(model, [loss_of(model)], steer(model, inner)), expected)


@pytest.mark.parametrize("reentrant", REENTRANT)
def test_a_backward_pass_after_the_block_is_an_error_and_not_unsteered(reentrant):
    model = checkpointed(reentrant)
    with steer(model, EVERYWHERE):
        loss = loss_of(model)(None)
    with pytest.raises(InvalidInputError, match="a backward pass came after the end of the block"):
        loss.backward()


def test_without_checkpoints_a_backward_pass_may_come_after_the_block():
    model = tiny_model("llama").train()
    inside = gradients(model, [loss_of(model)], steer(model, EVERYWHERE))
    with steer(model, EVERYWHERE):
        loss = loss_of(model)(None)
    model.zero_grad()
    loss.backward()
    assert same(inside, {name: parameter.grad for name, parameter in model.named_parameters()})


@pytest.mark.parametrize("leaving", [(0, 1), (1, 0)])
def test_the_model_trains_afterwards_as_if_nothing_had_been(leaving):
    model, fresh = checkpointed(reentrant=False), checkpointed(reentrant=False)
    functions = {name: module.__dict__.get("_gradient_checkpointing_func") for name, module in model.named_modules()}
    assert any(functions.values())
    blocks = [steer(model, EVERYWHERE), steer(model, Plan((step("add", LATER),)))]
    for block in blocks:
        block.__enter__()
    loss_of(model)(None).backward()
    for number in leaving:
        blocks[number].__exit__(None, None, None)
    model.zero_grad()
    loss_of(model)(None).backward()
    loss_of(fresh)(None).backward()
    assert same(*({name: each.grad for name, each in m.named_parameters()} for m in (model, fresh)))
    after = {name: module.__dict__.get("_gradient_checkpointing_func") for name, module in model.named_modules()}
    assert after == functions
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_checkpoints_may_be_switched_on_inside_the_block():
    plain, model = tiny_model("llama").train(), tiny_model("llama").train()
    expected = gradients(plain, [loss_of(plain)], steer(plain, EVERYWHERE))

    def run(_):
        enable_checkpoints(model, reentrant=False)
        return loss_of(model)(None)

    assert same(gradients(model, [run], steer(model, EVERYWHERE)), expected)

"""BitFit's directions are the change of real biases that plain torch trains, and are chosen by what was held out."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.plain_training import entropies
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.extract.wedding_texts import WEDDINGS, entropy
from tests.tiny_models import tiny_model
from vectorstore.card import Apply, Card
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of
from vectorstore.texts import Target
from vectorstore.vector import SteeringVector

TARGETS = (
    Target("the cat sat", "So "),
    Target("a dog ran"),
    Target("it rained", "They said that "),
    Target("nobody came", "In May "),
    Target("yes"),
)
ALL = {"held_out": 0.0, "per_step": 5}


def trained(model: PreTrainedModel | None = None, **settings: Any) -> tuple[SteeringVector, Card]:
    asked = {"layer": 1, "params": ALL | {"epochs": 4}, "seed": 2} | settings
    return compute(model or tiny_model(), tiny_tokenizer(), asked.pop("data", TARGETS), method="bitfit", **asked)


@pytest.mark.parametrize(("site", "block"), [("attn_out", "attn"), ("mlp_out", "mlp")])
@pytest.mark.parametrize("layers", [[1], [0, 2]])
def test_it_is_the_change_of_the_models_own_biases(site: str, block: str, layers: list[int]):
    model, lr = tiny_model("gpt2"), 0.02
    vector, card = trained(model, layer=layers, site=site, params=ALL | {"epochs": 6, "lr": lr}, batch_size=2)
    tuned = deepcopy(model)
    biases = {layer: getattr(tuned.transformer.h[layer], block).c_proj.bias for layer in layers}
    before = {layer: bias.detach().clone() for layer, bias in biases.items()}
    groups = [
        {"params": [bias], "lr": lr * card.residual_norms[Place(site, layer)] / math.sqrt(32)}
        for layer, bias in biases.items()
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0)
    for _ in range(6):
        optimiser.zero_grad()
        entropies(tuned, TARGETS).mean().backward()
        torch.nn.utils.clip_grad_norm_(list(biases.values()), 1.0)
        optimiser.step()
    for layer, bias in biases.items():
        change = (bias - before[layer]).detach().numpy()
        np.testing.assert_allclose(
            vector.directions[Place(site, layer)], change, rtol=0, atol=1e-4 * np.abs(change).max()
        )
    with torch.no_grad(), steer(model, plan_of(vector, card)):
        steered = entropies(model, TARGETS)
    torch.testing.assert_close(steered, entropies(tuned, TARGETS).detach(), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_bias_of_the_values_is_a_constant_after_the_attention():
    plain, biased = tiny_model(), tiny_model(attention_bias=True)
    biased.load_state_dict(plain.state_dict(), strict=False)
    for name, weight in biased.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
    attention = biased.model.layers[1].self_attn
    attention.v_proj.bias.copy_(torch.randn(16, generator=torch.Generator().manual_seed(1)))
    shared = attention.v_proj.bias.reshape(2, 8).repeat_interleave(2, dim=0).flatten()  # 4 heads read 2
    direction = (attention.o_proj.weight @ shared).numpy()
    with steer(plain, Plan((Step("add", Place("attn_out", 1), "all", direction),))):
        steered = entropies(plain, TARGETS)
    torch.testing.assert_close(steered, entropies(biased, TARGETS), rtol=1e-5, atol=1e-6)


def test_the_card_keeps_the_cross_entropy_before_and_after():
    model = tiny_model()
    vector, card = trained(model)
    figures = card.figures[Place("attn_out", 1)]
    with torch.no_grad():
        before = entropies(model, TARGETS).mean()
        with steer(model, plan_of(vector, card)):
            after = entropies(model, TARGETS).mean()
    assert figures == pytest.approx({"entropy_before": float(before), "entropy": float(after), "steps": 4}, rel=1e-5)
    assert after < before
    assert card.apply == Apply("all", "add")
    assert card.read.positions == "none"


def test_what_is_held_out_is_not_learnt_from():
    settings = {"params": {"epochs": 1, "held_out": 0.45}}
    vector, card = trained(**settings)
    assert "held_out" in card.figures[Place("attn_out", 1)]

    def matters(number: int) -> bool:
        others = (*TARGETS[:number], Target("zz", TARGETS[number].prompt), *TARGETS[number + 1 :])
        other, _ = trained(data=others, **settings)
        return not np.allclose(
            other.directions[Place("attn_out", 1)], vector.directions[Place("attn_out", 1)], rtol=0, atol=1e-6
        )

    assert sorted(map(matters, range(5))) == [False, False, True, True, True]


def test_the_epoch_is_chosen_that_does_best_on_what_is_held_out():
    params = {"held_out": 0.4, "per_step": 1, "lr": 0.3}
    place, data = Place("attn_out", 1), [Target(letter * 3) for letter in "abcde"]  # what is learnt makes others rarer

    def after(epochs: int) -> tuple[SteeringVector, dict[str, float]]:
        vector, card = trained(data=data, params=params | {"epochs": epochs})
        return vector, dict(card.figures[place])

    runs = {epochs: after(epochs) for epochs in range(1, 7)}
    vector, figures = runs[6]
    best = round(figures["steps"]) // 3
    assert 1 <= best < 6
    assert all(each["held_out"] >= figures["held_out"] for _, each in runs.values())
    assert vector.directions[place].tobytes() == runs[best][0].directions[place].tobytes()


def test_the_norm_can_be_capped():
    vector, card = trained(params=ALL | {"max_norm": 0.05, "lr": 0.1})
    place = Place("attn_out", 1)
    assert vector.norms[place] == pytest.approx(0.05 * card.residual_norms[place], rel=1e-5)


def test_the_step_size_is_measured_by_the_residual_norm():
    vector, card = trained(params=ALL | {"epochs": 1, "lr": 0.1})
    place = Place("attn_out", 1)
    sizes = np.abs(vector.directions[place]) / (card.residual_norms[place] / math.sqrt(32))
    np.testing.assert_allclose(sizes, 0.1, rtol=1e-3)  # Adam's first step is as long in every dimension


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_mode_of_the_caller_does_not_matter(mode: Any):
    model = tiny_model()
    expected, _ = trained(model)
    with mode():
        found, _ = trained(model)
    assert found == expected


def test_a_model_that_is_frozen_in_part_stays_so():
    model = tiny_model()
    for weight in list(model.parameters())[::2]:
        weight.requires_grad_(False)
    flags = [weight.requires_grad for weight in model.parameters()]
    found, _ = trained(model)
    assert [weight.requires_grad for weight in model.parameters()] == flags
    assert found == trained()[0]


def test_the_global_generators_are_left_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - that one
    trained(params={"epochs": 2})
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_steps_that_are_too_long_are_an_error_and_leave_the_model_as_it_was():
    model = tiny_model().half()
    with pytest.raises(InvalidInputError, match=r"the cross-entropy is nan after step 8; give a smaller --lr"):
        trained(model, params=ALL | {"lr": 1e6, "epochs": 8})
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]


def test_a_model_without_gradients_is_refused():
    with torch.inference_mode():
        model = tiny_model()
    with pytest.raises(InvalidInputError, match="load it outside, or use mezo"):
        trained(model)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("lr", 0.0, "more than 0, up to 1e\\+06, with --lr"),
        ("lr", math.nan, "more than 0, up to 1e\\+06, with --lr"),
        ("epochs", 0, "1 or more with --epochs"),
        ("per_step", 0, "1 or more with --per-step"),
        ("held_out", 1.0, "0 or more, up to 0.9, with --held-out"),
        ("max_norm", -1.0, "0 or more with --max-norm"),
    ],
)
def test_a_setting_out_of_range_is_an_error(name: str, value: float, hint: str):
    with pytest.raises(InvalidInputError, match=f"{name} is .*give {hint}"):
        trained(params={name: value})


@pytest.mark.weights
def test_wedding_sentences_make_others_likelier_and_random_directions_do_not(
    demo: tuple[PreTrainedModel, PreTrainedTokenizerBase],
):
    vector, card = compute(*demo, WEDDINGS, layer=15, site="resid_pre", method="bitfit", params={"epochs": 5})
    plan = plan_of(vector, card)
    before, after = (entropy(*demo, each) for each in (None, plan))
    random = [entropy(*demo, random_like(plan, seed)) for seed in range(5)]
    assert after < before - 0.2
    assert after < min(random) - 0.2
    figures = card.figures[Place("resid_pre", 15)]
    assert figures["held_out"] < figures["held_out_before"]

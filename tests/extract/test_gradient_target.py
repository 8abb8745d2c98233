"""A vector that makes a model write a target: found where there is one, step for step as plain torch finds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.plain_training import added_to_output, entropies
from tests.extract.tiny_tokenizer import BOS, CHARACTERS, SPECIAL, ids_of, tiny_tokenizer
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

TARGET = Target("cat sat", "So ")
PLACE = Place("mlp_out", 1)


def found(model: PreTrainedModel, target: Target = TARGET, **settings: Any) -> tuple[SteeringVector, Card]:
    asked = {"layer": 1, "site": "mlp_out", "seed": 5, "params": {"steps": 30}} | settings
    return compute(model, tiny_tokenizer(), [target], method="gradient_target", **asked)


def written(model: PreTrainedModel, plan: Plan, ids: list[int], count: int) -> list[int]:
    prompt = torch.tensor([ids])
    with torch.no_grad(), steer(model, plan):
        new = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False, eos_token_id=None
        )
    return new[0, len(ids) :].tolist()


@pytest.mark.parametrize("at", ["all", "first"])
def test_it_is_what_plain_torch_finds(at: str):
    model, lr, steps = tiny_model("gpt2"), 0.4, 30
    vector, card = found(model, params={"lr": lr, "steps": steps, "at": at})
    guess = torch.nn.init.xavier_normal_(torch.empty(1, 32), generator=torch.Generator().manual_seed(5))
    z = guess[0].clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=lr * card.residual_norms[PLACE] / math.sqrt(32))
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.9)
    best, least = z.detach().clone(), math.inf
    for _ in range(steps + 1):
        with added_to_output(model.transformer.h[1].mlp, z, first=at == "first"):
            loss = entropies(model, [TARGET]).sum()
        if loss < least:
            best, least = z.detach().clone(), float(loss.detach())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scheduler.step(float(loss.detach()))
    direction = vector.directions[PLACE]
    assert direction.shape == ((1, 32) if at == "first" else (32,))
    np.testing.assert_allclose(direction.reshape(32), best.numpy(), rtol=0, atol=1e-3 * float(best.abs().max()))
    assert card.figures[PLACE]["nll"] == pytest.approx(least, rel=1e-5)
    assert card.apply == Apply("prompt_front" if at == "first" else "all")


@pytest.mark.parametrize("at", ["all", "first"])
def test_a_text_that_some_vector_makes_the_model_write_is_recovered(at: str):
    model = tiny_model(initializer_range=0.3)
    planted = 4 * np.random.default_rng(0).standard_normal((1, 32)).astype(np.float32)
    step = Step("add", PLACE, "prompt_front", planted) if at == "first" else Step("add", PLACE, "all", planted[0])
    ids = written(model, Plan((step,)), [BOS], 5)
    assert ids[0] != written(model, Plan(), [BOS], 1)[0]
    text = "".join(CHARACTERS[number - len(SPECIAL)] for number in ids)
    vector, card = found(model, Target(text), params={"steps": 400, "at": at})
    figures = card.figures[PLACE]
    assert figures["written"] == 1
    assert 0 < figures["steps"] < 400
    assert written(model, plan_of(vector, card), [BOS], 5) == ids


def test_the_share_that_is_written_is_what_greedy_decoding_writes():
    model = tiny_model(initializer_range=0.3)
    for steps in (5, 20, 60):
        vector, card = found(model, Target("a cat sat"), params={"steps": steps})
        plan, ids = plan_of(vector, card), ids_of("a cat sat")
        right = 0
        while right < 9 and written(model, plan, [BOS], 9)[: right + 1] == ids[1 : right + 2]:
            right += 1
        assert card.figures[PLACE]["written"] == pytest.approx(right / 9)


def test_the_prompt_is_not_part_of_the_target():
    model = tiny_model()
    vector, card = found(model)
    with torch.no_grad(), steer(model, plan_of(vector, card)):
        nll = entropies(model, [TARGET]).sum()
    assert card.figures[PLACE]["nll"] == pytest.approx(float(nll), rel=1e-5)


def test_layers_are_searched_together():
    model = tiny_model()
    vector, card = found(model, layer=[0, 2])
    with torch.no_grad(), steer(model, plan_of(vector, card)):
        nll = float(entropies(model, [TARGET]).sum())
    assert [figures["nll"] for figures in card.figures.values()] == pytest.approx([nll, nll], rel=1e-5)


def test_several_targets_are_an_error():
    with pytest.raises(InvalidInputError, match="gradient_target takes 1 target, and there are 2"):
        compute(tiny_model(), tiny_tokenizer(), [TARGET, Target("a")], layer=1, method="gradient_target")


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("steps", 0), ("at", "last")])
def test_a_setting_out_of_range_is_an_error(name: str, value: object):
    with pytest.raises(InvalidInputError, match=f"{name} is .*--{name}"):
        found(tiny_model(), params={name: value})


@pytest.mark.weights
def test_the_demo_model_writes_a_sentence_it_would_never_write(demo: tuple[PreTrainedModel, PreTrainedTokenizerBase]):
    model, tokenizer = demo
    text, place = "The old bridge over the river was closed for repairs.", Place("resid_pre", 22)
    vector, card = compute(model, tokenizer, [Target(text)], layer=22, site="resid_pre", method="gradient_target")
    assert card.figures[place]["written"] == 1
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    plan = plan_of(vector, card)
    assert written(model, plan, [0], len(ids)) == ids
    assert all(written(model, random_like(plan, seed), [0], 1) != ids[:1] for seed in range(5))

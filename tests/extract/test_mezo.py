"""MeZO's slopes are exact where the loss is a quadratic, its runs those of plain torch, and no gradient is taken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.plain_training import added_to_output, entropies
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.extract.wedding_texts import WEDDINGS, entropy
from tests.tiny_models import tiny_model
from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.extract.methods.mezo import projected_gradients
from vectorstore.place import Place
from vectorstore.plan import plan_of
from vectorstore.texts import Target
from vectorstore.vector import SteeringVector

TARGETS = (Target("the cat sat", "So "), Target("a dog ran"), Target("it rained", "They said that "))
PLACE = Place("attn_out", 1)
ALL = {"held_out": 0.0, "per_step": 3}


def trained(model: Any = None, **settings: Any) -> tuple[SteeringVector, Card]:
    asked = {"layer": 1, "params": ALL | {"steps": 3}, "seed": 2} | settings
    return compute(model or tiny_model(), tiny_tokenizer(), TARGETS, method="mezo", **asked)


@pytest.mark.parametrize("epsilon", [1e-3, 1, 30])
def test_the_slopes_of_a_quadratic_are_exact_however_far_it_goes(epsilon: float):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    matrix, at, noise = draw(7, 7), [draw(3), draw(4)], [draw(5, 3), draw(5, 4)]
    curvature = matrix + matrix.T

    def loss(copies: list[Tensor]) -> Tensor:
        points = torch.cat(copies, dim=1)  # (copies, 7)
        return (points @ curvature * points).sum(dim=1) / 2

    expected = torch.cat(noise, dim=1) @ curvature @ torch.cat(at)
    torch.testing.assert_close(projected_gradients(loss, at, noise, epsilon), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_run_is_that_of_plain_torch(samples: int, batch_size: int):
    lr, epsilon, model = 0.5, 0.3, tiny_model("gpt2")
    params = ALL | {"steps": 3, "samples": samples, "lr": lr, "epsilon": epsilon}
    vector, card = trained(model, params=params, batch_size=batch_size)
    unit = card.residual_norms[PLACE] / math.sqrt(32)
    generator = np.random.default_rng([2, samples])
    expected = torch.zeros(32, dtype=torch.float64)

    @torch.no_grad()
    def loss(shift: Tensor) -> float:
        with added_to_output(model.transformer.h[1].attn, (unit * shift).float()):
            return float(entropies(model, TARGETS).double().mean())

    for _ in range(3):
        noise = torch.from_numpy(generator.standard_normal((samples, 32), np.float32)).double()
        slopes = [(loss(expected + epsilon * each) - loss(expected - epsilon * each)) / (2 * epsilon) for each in noise]
        expected = expected - lr * sum(slope * each for slope, each in zip(slopes, noise, strict=True))
    wanted = unit * expected.numpy()
    np.testing.assert_allclose(vector.directions[PLACE], wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())


def test_over_many_samples_it_is_the_gradient_that_autograd_finds():
    model = tiny_model()
    vector, _ = trained(model, params=ALL | {"steps": 1, "samples": 2000, "lr": 1e-5}, batch_size=500)
    shift = torch.zeros(32, requires_grad=True)
    with added_to_output(model.model.layers[1].self_attn, shift):
        (gradient,) = torch.autograd.grad(entropies(model, TARGETS).mean(), shift)
    found = torch.from_numpy(np.array(vector.directions[PLACE]))
    assert torch.cosine_similarity(found, -gradient, dim=0) > 0.97


def test_it_runs_where_there_is_no_autograd():
    expected, _ = trained()
    with torch.inference_mode():
        model = tiny_model()
        assert all(weight.is_inference() for weight in model.parameters())
        found, _ = trained(model)
    assert found == expected


def test_no_pass_of_the_model_is_one_that_gradients_could_follow():
    model, kept = tiny_model(), []
    handle = model.get_output_embeddings().register_forward_hook(lambda *given: kept.append(given[2].requires_grad))
    trained(model)
    handle.remove()
    assert len(kept) >= 6
    assert not any(kept)


def test_another_seed_takes_another_way():
    one, other = trained(seed=2)[0], trained(seed=3)[0]
    assert not np.allclose(one.directions[PLACE], other.directions[PLACE])


def test_places_are_trained_together():
    together, card = trained(layer=[0, 2])
    assert together.places == (Place("attn_out", 0), Place("attn_out", 2))
    figures = list(card.figures.values())
    assert figures[0] == figures[1]
    assert set(figures[0]) == {"entropy_before", "entropy", "steps"}


@pytest.mark.parametrize("name", ["lr", "epsilon"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf])
def test_a_step_size_that_is_none_is_an_error(name: str, value: float):
    with pytest.raises(InvalidInputError, match=f"{name} is .*give more than 0, up to 1e\\+06, with --{name}"):
        trained(params={name: value})


@pytest.mark.parametrize("name", ["steps", "samples"])
def test_there_is_at_least_one_step_and_one_sample(name: str):
    with pytest.raises(InvalidInputError, match=f"{name} is 0; give 1 or more with --{name}"):
        trained(params={name: 0})


@pytest.mark.weights
def test_wedding_sentences_make_others_likelier_and_random_directions_do_not(
    demo: tuple[PreTrainedModel, PreTrainedTokenizerBase],
):
    params = {"steps": 30, "per_step": 4, "held_out": 0.0, "lr": 0.06}
    vector, card = compute(*demo, WEDDINGS, layer=15, site="resid_pre", method="mezo", params=params)
    plan = plan_of(vector, card)
    before, after = (entropy(*demo, each) for each in (None, plan))
    random = [entropy(*demo, random_like(plan, seed)) for seed in range(5)]
    assert after < before - 0.03
    assert after < min(random) - 0.03

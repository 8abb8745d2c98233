"""What steering keeps in memory, counted in bytes of tensors rather than measured."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from tests.hooks.meter import Meter
from tests.hooks.test_operators import step
from tests.tiny_models import tiny_model
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

LAYERS, ROWS, WIDTH = 8, 2, 32
OPERATORS = ("add", "ablate", "clamp", "affine", "keepnorm", "piecewise")
EVERYWHERE = [Place(site, layer) for layer in range(LAYERS) for site in ("resid_pre", "resid_post")]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama", num_hidden_layers=LAYERS, max_position_embeddings=1024)


def plan(operator="add", tokens="all", places=EVERYWHERE, seed=0):
    return Plan(tuple(step(operator, place, tokens, seed=seed) for place in places))


def activations(columns):
    """Return the bytes of one layer's activations."""
    return 4 * ROWS * columns * WIDTH


def at_most(columns):
    """Return the bytes that steering may take: one layer's activations, and what tells its tokens apart."""
    return activations(columns) + 16 * ROWS * columns


def peak(model, columns, steering, *hooks):
    """Return the most bytes alive while a prompt is read."""
    ids = torch.ones(ROWS, columns, dtype=torch.long)
    with steering, torch.inference_mode():
        model(ids[:, :2], logits_to_keep=1)  # directions are placed
        handles = [layer.register_forward_hook(hook) for layer in model.model.layers for hook in hooks]
        with Meter() as meter:
            model(ids, logits_to_keep=1, use_cache=False)
        for handle in handles:
            handle.remove()
    return meter.peak


def test_the_meter_counts_what_is_kept(model):
    kept = []
    keeping = peak(model, 256, nullcontext(), lambda _module, _args, output: kept.append(output + 1))
    assert keeping - peak(model, 256, nullcontext()) >= (LAYERS - 1) * activations(256)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("tokens", ["all", "prompt", "last"])
def test_steering_every_layer_of_a_long_prompt_takes_no_more_than_one_layers_activations(model, operator, tokens):
    for columns in (256, 1024):
        more = peak(model, columns, steer(model, plan(operator, tokens))) - peak(model, columns, nullcontext())
        assert more <= at_most(columns)


def test_rows_with_plans_of_their_own_take_no_more_either(model):
    plans = [plan("add"), plan("keepnorm", "prompt", seed=1)]
    for given in (plans, [plans[1], None]):
        more = peak(model, 1024, steer(model, given)) - peak(model, 1024, nullcontext())
        assert more <= at_most(1024)


@pytest.mark.parametrize("operator", OPERATORS)
def test_between_the_layers_nothing_is_kept_that_grows_with_the_layers_steered(model, operator):
    def alive(places):
        seen = []
        ids = torch.ones(ROWS, 512, dtype=torch.long)
        with steer(model, plan(operator, "prompt", places)), torch.inference_mode():
            model(ids[:, :2])
            with Meter() as meter:
                handle = model.model.norm.register_forward_pre_hook(lambda *_: seen.append(meter.live))
                model(ids, logits_to_keep=1, use_cache=False)
                handle.remove()
        return seen[0]

    assert alive(EVERYWHERE) - alive(EVERYWHERE[:1]) < activations(512) / 4

"""Baking into the demo weights: the same tokens as with hooks, from plain transformers, without a hook."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.extract.test_weights import Demo
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.hooks.baking import bake, save_baked
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of

pytestmark = pytest.mark.weights

PROMPT = "I went up to my friend and said"
GREEDY = {"max_new_tokens": 16, "min_new_tokens": 16, "do_sample": False}


def test_baked_weights_write_the_same_tokens_as_hooks(demo: Demo, tmp_path: Path):
    model, tokenizer = demo
    pairs = [ContrastPair("I love weddings", "I love meetings"), ContrastPair("The wedding", "The meeting")]
    vector, card = compute(model, tokenizer, pairs, layer=18, method="mean_difference")
    (direction,) = vector.directions.values()
    places = [Place("resid_pre", 0), *(Place(site, layer) for layer in range(30) for site in ("attn_out", "mlp_out"))]
    added = plan_of(vector, card, "0.3r")
    plan = Plan((*(Step("ablate", place, "all", direction) for place in places), *added.steps))
    inputs = tokenizer(PROMPT, return_tensors="pt")
    unsteered = model.generate(**inputs, **GREEDY)
    with steer(model, plan):
        hooked = model.generate(**inputs, **GREEDY)
    baked = bake(model, plan)
    assert baked.difference < 1e-5
    assert baked.effect > 0.05
    save_baked(baked, tokenizer, tmp_path / "steered")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "steered")
    plain = AutoTokenizer.from_pretrained(tmp_path / "steered")(PROMPT, return_tensors="pt")
    shutil.rmtree(tmp_path / "steered")  # half a gigabyte
    assert torch.equal(plain["input_ids"], inputs["input_ids"])
    assert torch.equal(again.generate(**plain, **GREEDY), hooked)
    assert not torch.equal(hooked, unsteered)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in again.modules())
    assert torch.equal(model.generate(**inputs, **GREEDY), unsteered)

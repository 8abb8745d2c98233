"""A model split over devices, or with weights offloaded by accelerate, is steered as one that is in one place."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import accelerate
import pytest
import torch

from tests.builders import make_card, make_vector
from tests.hooks.far_devices import FarDevices
from tests.hooks.probe import witness
from tests.hooks.test_gate import gate
from tests.hooks.test_operators import GREEDY, LEFT, NAMES, step
from tests.hooks.test_rows import BATCH, plans_at
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.hooks.fit import CompatibleModelWarning
from vectorstore.hooks.steer import steer
from vectorstore.models.identity import identify
from vectorstore.models.layers import site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan, plan_of

SPLIT = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    **{f"model.layers.{layer}": f"cpu:{layer}" if layer else "cpu" for layer in range(LAYER_COUNT)},
    "model.norm": "cpu",
    "lm_head": "cpu",
}
ON_META = pytest.mark.filterwarnings("ignore:You are calling .generate")  # transformers 4 asks where a model is
RESULT = {"output_logits": True, "return_dict_in_generate": True}


@contextmanager
def split():
    with FarDevices() as devices, torch.no_grad():
        yield accelerate.dispatch_model(tiny_model("llama"), SPLIT, main_device="cpu", force_hooks=True), devices


def offloaded(how, folder):
    model, device = tiny_model("llama"), torch.device("cpu")
    if how == "disk":
        return accelerate.disk_offload(model, folder, execution_device=device)
    return accelerate.cpu_offload(model, execution_device=device)


def generated(model, plan, inputs=LEFT):
    with torch.no_grad(), steer(model, plan):
        return torch.stack(model.generate(**inputs, **GREEDY, **RESULT).logits)


def test_tensors_of_different_devices_do_not_meet():
    with FarDevices():
        far = torch.arange(3, device="cpu:1")
        with pytest.raises(RuntimeError, match=r"cpu, cpu:1"):
            far + torch.arange(3)
        assert (far + 1).cpu().tolist() == [1, 2, 3]


@pytest.mark.parametrize("tokens", ["all", "last", "prompt_front"])
@pytest.mark.parametrize("name", NAMES)
def test_a_split_model_is_steered_as_a_whole_one(name, tokens):
    plan = Plan(tuple(step(name, Place("resid_post", layer), tokens) for layer in range(LAYER_COUNT)))
    expected = generated(tiny_model("llama"), plan)
    with split() as (model, _):
        assert torch.equal(generated(model, plan), expected)


@pytest.mark.parametrize("site", SITES)
def test_every_row_of_a_split_model_follows_its_own_plan_at_any_site(site):
    plans = plans_at(site)
    expected = generated(tiny_model("llama"), plans, BATCH)
    with split() as (model, _):
        assert torch.equal(generated(model, plans, BATCH), expected)


@pytest.mark.parametrize("threshold", [-1e6, 0.0, 1e6])
def test_a_gate_that_is_read_on_one_device_opens_on_another(threshold):
    plan = Plan((gate(step("add", Place("resid_post", 2)), threshold, Place("resid_pre", 1)),))
    expected = generated(tiny_model("llama"), plan)
    with split() as (model, _):
        assert torch.equal(generated(model, plan), expected)


def test_activations_at_each_layer_stay_on_its_device():
    with split() as (model, _):
        for layer in range(LAYER_COUNT):
            place = Place("mlp_out", layer)
            plan = Plan((step("ablate", place),))
            seen = witness(model, place, steer(model, plan), lambda: model.generate(**LEFT, **GREEDY))
            assert {str(each.device) for each in seen.after} == {SPLIT[f"model.layers.{layer}"]}


def test_vectors_are_moved_to_their_layer_once_and_not_at_every_step():
    plan = Plan(tuple(step(name, Place("resid_post", 2), seed=seed) for seed, name in enumerate(NAMES)))

    def crossings(plan, new_tokens):
        with split() as (model, devices), steer(model, plan):
            before = devices.crossings
            model.generate(**LEFT, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
            return devices.crossings - before

    steered, unsteered = (crossings(each, 8) - crossings(each, 3) for each in (plan, Plan()))
    assert steered == unsteered


@ON_META
@pytest.mark.parametrize("how", ["cpu", "disk"])
def test_an_offloaded_model_is_steered_as_one_in_memory(how, tmp_path):
    model = offloaded(how, tmp_path)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert site_widths(model) == site_widths(tiny_model("llama"))
    for site in SITES:
        plans = plans_at(site)
        assert torch.equal(generated(model, plans, BATCH), generated(tiny_model("llama"), plans, BATCH))
    assert all(parameter.is_meta for parameter in model.parameters())


@ON_META
@pytest.mark.parametrize("how", ["cpu", "disk"])
def test_an_offloaded_model_is_the_same_as_one_in_memory(how, tmp_path):
    model, bare = offloaded(how, tmp_path), tiny_model("llama")
    assert identify(model).fit(identify(bare)) == "same"
    assert all(parameter.is_meta for parameter in model.parameters())
    vector = make_vector(1, width=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompatibleModelWarning)
        plan = plan_of(vector, make_card(vector, model=identify(bare)))
        assert torch.equal(generated(model, plan), generated(bare, plan))


def test_a_split_model_is_the_same_as_a_whole_one():
    with split() as (model, _):
        assert identify(model).fit(identify(tiny_model("llama"))) == "same"

"""Models whose linear layers are quantised: the same layers and sites, steered as any other; and whose weights tell."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

import pytest
import torch
from torch import nn

from tests.builders import make_card, make_vector
from tests.hooks.probe import add_plan, direction_of, witness
from tests.hooks.reference import carried_out
from tests.hooks.test_operators import GREEDY, LEFT, NAMES, STEERED_RIGHT, step
from tests.hooks.test_operators import RIGHT as INPUTS
from tests.tiny_models import tiny_model
from vectorstore.hooks.fit import CompatibleModelWarning
from vectorstore.hooks.record import record
from vectorstore.hooks.steer import steer
from vectorstore.models.identity import identify
from vectorstore.models.layers import decoder_layers, site_module, site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan, plan_of

SIZES = {"hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32}  # whole groups of 32


def plain(architecture="llama", **changes):
    sizes = {"hidden_size": 64, "ffn_dim": 128, "word_embed_proj_dim": 64} if architecture == "opt" else SIZES
    return tiny_model(architecture, **sizes, **changes)


def of_torch(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def of_torchao(name, **options):
    def quantise(model):
        torchao = pytest.importorskip("torchao.quantization")
        torchao.quantize_(model, getattr(torchao, name)(**{key: make(torchao) for key, make in options.items()}))
        return model

    return quantise


def of_bitsandbytes(name, **options):
    def quantise(model):
        linear = getattr(pytest.importorskip("bitsandbytes").nn, name)
        for path, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and path != "lm_head":
                packed = linear(module.in_features, module.out_features, module.bias is not None, **options)
                packed.load_state_dict(module.state_dict())
                model.set_submodule(path, packed.to("cpu"))
        return model

    return quantise


KINDS = {
    "torch's dynamic int8": of_torch,
    "torchao int8": of_torchao("Int8WeightOnlyConfig"),
    "torchao dynamic int8": of_torchao("Int8DynamicActivationInt8WeightConfig"),
    "torchao int4": of_torchao(
        "IntxWeightOnlyConfig", weight_dtype=lambda _: torch.int4, granularity=lambda torchao: torchao.PerGroup(32)
    ),
    "torchao float8": of_torchao("Float8WeightOnlyConfig"),
    "bitsandbytes int8": of_bitsandbytes("Linear8bitLt", has_fp16_weights=False),
    "bitsandbytes nf4": of_bitsandbytes("Linear4bit", quant_type="nf4", compute_dtype=torch.float32),
}
DYNAMIC = {"torch's dynamic int8", "torchao dynamic int8"}  # activations are rounded too, so that a last bit may grow


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def quantised(kind):
    return quantise(kind, plain())


def quantise(kind, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the quantisers, about themselves
        return KINDS[kind](model).eval()


def logits(model):
    with torch.no_grad():
        return model(**INPUTS).logits


@pytest.mark.parametrize("architecture", ["llama", "opt", "gemma2", "qwen3_moe"])
def test_layers_sites_and_widths_are_those_of_the_plain_model(kind, architecture):
    bare, model = plain(architecture), quantise(kind, plain(architecture))
    assert site_widths(model) == site_widths(bare)
    for place in (Place(site, layer) for site in SITES for layer in range(3)):
        assert path_of(model, place) == path_of(bare, place)


def path_of(model, place):
    module, side = site_module(model, place)
    return next(path for path, each in model.named_modules() if each is module), side


def test_it_is_compatible_with_the_plain_model_and_the_same_as_itself(kind, quantised):
    again = quantise(kind, plain())
    logits(quantised), logits(again)  # on a CPU, bitsandbytes packs 4-bit weights anew in the first pass
    identity = identify(quantised)
    assert identify(plain()).fit(identity) == "compatible"
    logits(quantised)
    assert identify(quantised) == identity == identify(again)


def test_other_weights_are_told_although_they_are_packed(kind, quantised):
    other = plain()
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.neg_()
    changed = quantise(kind, other)
    logits(quantised), logits(changed)
    assert identify(changed).fit(identify(quantised)) == "compatible"


@pytest.mark.parametrize("site", SITES)
def test_steering_is_a_raw_hook_bit_for_bit_and_leaves_nothing_behind(quantised, site):
    place = Place(site, 1)
    direction = direction_of(64)
    before = logits(quantised)
    with steer(quantised, add_plan(place, direction)):
        steered = logits(quantised)
    with ExitStack() as stack:
        module, side = site_module(quantised, place)
        handle = (
            module.register_forward_pre_hook(lambda _, args: (added(args[0], direction), *args[1:]))
            if side == "input"
            else module.register_forward_hook(lambda _, __, output: of_output(output, direction))
        )
        stack.callback(handle.remove)
        raw = logits(quantised)
    assert torch.equal(steered, raw)
    assert not torch.equal(steered, before)
    assert torch.equal(logits(quantised), before)


def added(hidden, direction):
    return hidden + direction * INPUTS["attention_mask"][..., None]


def of_output(output, direction):
    return added(output, direction) if isinstance(output, torch.Tensor) else (added(output[0], direction), *output[1:])


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_does_what_it_says(quantised, name):
    place = Place("head_out", 2)
    steps = [step(name, place, width=64)]
    seen = witness(quantised, place, steer(quantised, Plan(tuple(steps))), lambda: logits(quantised))
    expected = carried_out(seen.before[0], steps, STEERED_RIGHT)
    torch.testing.assert_close(seen.after[0].double(), expected, atol=5e-7, rtol=2e-6)


def test_each_row_has_its_own_plan(kind, quantised):
    plans = [add_plan(Place("resid_pre", 1), direction_of(64)), add_plan(Place("mlp_out", 0), direction_of(64, seed=1))]
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    with steer(quantised, plans):
        together = quantised.generate(**LEFT, **options)
    for row, (plan, ids) in enumerate(zip(plans, (LEFT["input_ids"][:1, 2:], LEFT["input_ids"][1:]), strict=True)):
        with steer(quantised, plan):
            alone = quantised.generate(ids, **options)
        found = torch.stack([one[row] - other[0] for one, other in zip(together.logits, alone.logits, strict=True)])
        assert found.abs().max() < (0.05 if kind in DYNAMIC else 1e-5)


def test_a_vector_of_the_plain_model_steers_with_a_warning(quantised):
    card = make_card(vector := make_vector(1, width=64), model=identify(plain()))
    plan = plan_of(vector, card)
    before = logits(quantised)
    with pytest.warns(CompatibleModelWarning, match="other weights"), steer(quantised, plan):
        assert not torch.equal(logits(quantised), before)


def test_what_is_recorded_is_what_the_model_reports(quantised):
    places = [Place("resid_pre", layer) for layer in range(len(decoder_layers(quantised)))]
    recorded = record(quantised, INPUTS, places)
    with torch.no_grad():
        states = quantised(**INPUTS, output_hidden_states=True).hidden_states
    assert all(torch.equal(recorded[place], states[place.layer]) for place in places)

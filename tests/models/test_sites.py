"""Each site is at the module it says, in every architecture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models.test_layers import run
from tests.tiny_models import ARCHITECTURES, CONFIGS, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.models.layers import decoder_layers, site_module, site_widths
from vectorstore.place import SITES, Place

Adjust = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


def sandwich(layer: nn.Module, attention: Tensor, mlp: Tensor) -> tuple[Tensor, Tensor]:
    """Norm both, as the layer does before it adds them."""
    return layer.post_attention_layernorm(attention), layer.post_feedforward_layernorm(mlp)


def scaled(layer: nn.Module, attention: Tensor, mlp: Tensor) -> tuple[Tensor, Tensor]:
    """Scale both, as the layer does before it adds them."""
    return attention * layer.residual_multiplier, mlp * layer.residual_multiplier


ADJUSTMENTS: dict[str, Adjust] = {
    **dict.fromkeys(("gemma2", "gemma3_text", "olmo2", "exaone4"), sandwich),
    **dict.fromkeys(("granite", "granitemoe"), scaled),
}
ADDING = [name for name in ARCHITECTURES if name != "openai-gpt"]  # it norms the residual stream after each addition
WIDE_HEADS = {name for name, config in CONFIGS.items() if config.get("head_dim") == 16}


@pytest.mark.parametrize("architecture", ADDING)
def test_attention_and_mlp_outputs_are_what_the_layer_adds(architecture: str):
    model = tiny_model(architecture)
    if architecture.startswith("granite"):
        for layer in decoder_layers(model):
            layer.residual_multiplier = 0.5
    seen, _, _ = run(model, [Place(site, 1) for site in ("resid_pre", "attn_out", "mlp_out", "resid_post")])
    before, attention, mlp, after = (value.reshape(1, 5, 32) for value in map(seen.get, sorted(seen, key=order)))
    if architecture in ADJUSTMENTS:
        attention, mlp = ADJUSTMENTS[architecture](decoder_layers(model)[1], attention, mlp)
    torch.testing.assert_close(before + attention + mlp, after)
    assert attention.abs().max() > 1e-4
    assert mlp.abs().max() > 1e-6


def order(place: Place) -> int:
    return ("resid_pre", "attn_out", "mlp_out", "resid_post").index(place.site)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_head_out_goes_into_the_projection_that_gives_the_attention_output(architecture: str):
    model = tiny_model(architecture)
    places = [Place("head_out", 1), Place("attn_out", 1)]
    projection, side = site_module(model, places[0])
    seen, _, _ = run(model, places)
    projected = projection(seen[places[0]])
    assert side == "input"
    torch.testing.assert_close(projected.reshape(1, 5, 32), seen[places[1]].reshape(1, 5, 32))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_widths_are_those_of_the_activations(architecture: str):
    model = tiny_model(architecture)
    seen, _, _ = run(model, [Place(site, 1) for site in SITES])
    assert site_widths(model) == {place.site: value.shape[-1] for place, value in seen.items()}
    assert (site_widths(model)["head_out"] == 64) == (architecture in WIDE_HEADS)


@pytest.mark.parametrize("site", ["attn_out", "mlp_out", "head_out"])
def test_a_model_without_attention_says_so(site: str):
    model = tiny_model("mamba")
    assert site_widths(model) == {"resid_pre": 32, "resid_post": 32}
    with pytest.raises(InvalidInputError, match=f"{site} at layer 1 .* of Mamba.*; use one of resid_pre, resid_post$"):
        site_module(model, Place(site, 1))


def test_a_layer_without_attention_names_those_that_have_it():
    pytest.importorskip("transformers.models.nemotron_h", reason="transformers 4 has no such model")
    model = tiny_model("nemotron_h")
    assert site_module(model, Place("attn_out", 2))[1] == "output"
    with pytest.raises(InvalidInputError, match=r"attn_out at layer 1 .* \(it is in layers 0, 2\)"):
        site_module(model, Place("attn_out", 1))


def test_in_bert_the_outputs_are_those_before_the_norm():
    model = tiny_model("bert")
    layer = decoder_layers(model)[1]
    seen, _, _ = run(model, [Place(site, 1) for site in SITES])
    middle = layer.attention.output.LayerNorm(seen[Place("attn_out", 1)] + seen[Place("resid_pre", 1)])
    after = layer.output.LayerNorm(seen[Place("mlp_out", 1)] + middle)
    torch.testing.assert_close(after, seen[Place("resid_post", 1)])


def test_an_unknown_site_lists_those_there_are():
    with pytest.raises(InvalidInputError, match="'nowhere' is no site; use one of resid_pre, resid_post, attn_out"):
        site_module(tiny_model(), Place("nowhere", 0))

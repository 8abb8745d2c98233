"""The layers found are the decoder layers, in every architecture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.models.layers import decoder_layers, resolve_layer, site_module, site_widths
from vectorstore.place import Place

TOKENS = torch.tensor([[1, 5, 9, 3, 7]])


def run(model: nn.Module, places: list[Place]) -> tuple[dict[Place, Tensor], list[Place], tuple[Tensor, ...]]:
    """Return what passes at each place, in which order, and the hidden states that the model itself tells."""
    seen: dict[Place, Tensor] = {}
    order: list[Place] = []

    def note(place: Place, value: object) -> None:
        hidden = value if isinstance(value, Tensor) else value[0]
        seen[place] = hidden.detach().clone()
        order.append(place)

    def before(place: Place):
        return lambda _module, args, kwargs: note(place, args[0] if args else kwargs["hidden_states"])

    def after(place: Place):
        return lambda _module, _args, output: note(place, output)

    for place in places:
        module, side = site_module(model, place)
        if side == "input":
            module.register_forward_pre_hook(before(place), with_kwargs=True)
        else:
            module.register_forward_hook(after(place))
    with torch.no_grad():
        output = model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS), output_hidden_states=True)
    return seen, order, output.hidden_states


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_run_in_order_on_the_residual_stream(architecture: str):
    model = tiny_model(architecture)
    numbers = range(LAYER_COUNT)
    places = [Place(site, number) for number in numbers for site in ("resid_pre", "resid_post")]
    seen, order, hidden_states = run(model, places)

    assert len(decoder_layers(model)) == LAYER_COUNT
    assert order == places
    for number in numbers:
        assert torch.equal(seen[Place("resid_pre", number)], hidden_states[number])
        assert seen[Place("resid_post", number)].shape == (1, 5, 32)
    for number in numbers[1:]:
        assert torch.equal(seen[Place("resid_post", number - 1)], seen[Place("resid_pre", number)])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text", "gpt_neox"])
def test_the_last_resid_post_is_before_the_final_norm(architecture: str):
    last = Place("resid_post", LAYER_COUNT - 1)
    seen, _, hidden_states = run(tiny_model(architecture), [last])
    assert not torch.allclose(seen[last], hidden_states[-1])


def test_negative_layers_count_from_the_end():
    model = tiny_model()
    assert [resolve_layer(model, layer) for layer in (0, 2, -1, -3)] == [0, 2, 2, 0]


@pytest.mark.parametrize("layer", [3, -4, 1000])
def test_a_layer_out_of_range_names_the_range(layer: int):
    with pytest.raises(InvalidInputError, match=rf"layer {layer} is out of range .* 3 layers; choose 0\.\.2"):
        resolve_layer(tiny_model(), layer)


def test_a_path_overrides_structure_and_is_remembered():
    model = tiny_model()
    model.rest = nn.ModuleList(list(model.model.layers)[1:])
    assert len(decoder_layers(model)) == 3
    assert len(decoder_layers(model, "rest")) == 2
    assert site_module(model, Place("resid_pre", 0))[0] is model.model.layers[1]


@pytest.mark.parametrize("path", ["model.nothing", "model.norm", "lm_head"])
def test_a_path_that_is_no_list_is_refused(path: str):
    with pytest.raises(InvalidInputError, match=path):
        decoder_layers(tiny_model(), path)


def test_a_module_that_is_no_language_model_is_refused():
    with pytest.raises(InvalidInputError, match="Linear is no Hugging Face model"):
        decoder_layers(nn.Linear(2, 2))


def test_a_config_of_other_names_is_no_hindrance():
    model = tiny_model()
    model.config = PretrainedConfig()
    assert decoder_layers(model) == list(model.model.layers)
    assert set(site_widths(model).values()) == {32}


def test_a_replaced_layer_is_found_at_once():
    model = tiny_model()
    decoder_layers(model)
    model.model.layers[1] = tiny_model(seed=1).model.layers[1]
    assert decoder_layers(model)[1] is model.model.layers[1]

"""Layers are told from other lists of the same length, and found where the config does not count them."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.models.layers import decoder_layers
from vectorstore.models.structure import find_layers


def adapter() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 300), nn.Linear(300, 32))


def test_a_list_of_the_same_length_that_does_not_run_is_passed_over():
    model = tiny_model()
    model.model.towers = nn.ModuleList(adapter() for _ in range(3))
    assert decoder_layers(model) == list(model.model.layers)


def test_adapters_that_run_in_order_on_the_residual_stream_are_not_the_layers():
    model = tiny_model()
    adapters = model.model.adapters = nn.ModuleList(adapter() for _ in range(3))

    def run_adapter(number: int):
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            adapters[number](args[0])

        return hook

    for number, layer in enumerate(model.model.layers):
        layer.register_forward_pre_hook(run_adapter(number))
    assert decoder_layers(model) == list(model.model.layers)


def test_lists_inside_the_layers_do_not_count():
    model = tiny_model()
    for layer in model.model.layers:
        layer.mlp.experts = nn.ModuleList(adapter() for _ in range(3))
    assert find_layers(model, 3, 32) == "model.layers"


@pytest.mark.parametrize("count", [None, 7])
def test_a_config_that_counts_wrongly_is_no_hindrance(count: int | None):
    assert find_layers(tiny_model(), count, 32) == "model.layers"


def test_the_probe_leaves_no_hook_behind():
    model = tiny_model()
    find_layers(model, None, 32)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_layers_that_are_nowhere_ask_for_their_path():
    model = tiny_model()
    model.model.layers = nn.Sequential(*model.model.layers)
    with pytest.raises(InvalidInputError, match="were not found; name their module list: decoder_layers"):
        decoder_layers(model)
    assert len(decoder_layers(model, "model.layers")) == 3

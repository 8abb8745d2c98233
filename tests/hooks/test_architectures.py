"""Steering adds exactly what it should at exactly the right place, and leaves no trace, on every architecture."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from tests.hooks.probe import add_plan, direction_of, witness
from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.hooks.record import record
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.place import SITES, Place

IDS = torch.tensor([[1, 5, 9, 23, 7], [1, 40, 3, 12, 33]])
INPUTS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def logits(model):
    with torch.no_grad():
        return model(**INPUTS).logits


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_steering_adds_the_direction_at_its_place_and_nowhere_before(architecture, site):
    model = tiny_model(architecture)
    widths = site_widths(model)
    assert site in widths
    for layer in range(LAYER_COUNT):
        place = Place(site, layer)
        direction = direction_of(widths[site])
        seen = witness(model, place, steer(model, add_plan(place, direction)), lambda: model(**INPUTS))
        assert len(seen.after) == 1
        assert torch.equal(seen.after[0], seen.before[0] + direction)
        unsteered = record(model, INPUTS, [place])[place]
        assert torch.equal(seen.before[0].reshape(unsteered.shape), unsteered), "what comes before must not change"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_recorded_is_what_the_model_reports(architecture):
    model = tiny_model(architecture)
    places = [Place("resid_pre", layer) for layer in range(LAYER_COUNT)]
    recorded = record(model, INPUTS, places)
    with torch.no_grad():
        states = model(**INPUTS, output_hidden_states=True).hidden_states
    for place in places:
        assert torch.equal(recorded[place], states[place.layer])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_recording_runs_no_layer_that_is_not_needed(architecture):
    model = tiny_model(architecture)
    ran = []
    for number, layer in enumerate(decoder_layers(model)):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    record(model, INPUTS, [Place("resid_pre", 1)])
    assert ran == [0]
    ran.clear()
    record(model, INPUTS, [Place("resid_pre", 0), Place("resid_post", 1)])
    assert ran in ([0], [0, 1])  # the recording hook may come before the counting one, and ends the pass


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_after_the_block_the_logits_are_the_unsteered_ones_bit_for_bit(architecture):
    model = tiny_model(architecture)
    before = logits(model)
    place = Place("resid_post", 1)
    plan = add_plan(place, direction_of(32))
    with steer(model, plan):
        assert not torch.equal(logits(model), before)
        model.generate(**INPUTS, max_new_tokens=2, do_sample=False)
    assert torch.equal(logits(model), before)

    with pytest.raises(KeyboardInterrupt), steer(model, plan):
        logits(model)
        raise KeyboardInterrupt
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_exception_inside_the_forward_pass_leaves_nothing_behind(architecture):
    model = tiny_model(architecture)
    before = logits(model)
    hooks_before = hook_count(model)
    with (
        pytest.raises(ValueError, match="planted"),
        steer(model, add_plan(Place("resid_pre", 1), direction_of(32))),
        failing(decoder_layers(model)[2]),
    ):
        logits(model)
    assert hook_count(model) == hooks_before
    assert "generate" not in model.__dict__
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generation_with_and_without_cache_steers_the_same_tokens(architecture):
    model = tiny_model(architecture)
    place = Place("resid_pre", 1)
    plan = add_plan(place, direction_of(32), "generated")
    for use_cache in (True, False):
        options = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False, "use_cache": use_cache}
        seen = witness(model, place, steer(model, plan), lambda options=options: model.generate(**INPUTS, **options))
        lengths = [len(before[0]) for before in seen.before]
        assert lengths in ([5, 1, 1], [5, 6, 7])  # MPT and GPT-1 have no cache
        for length, before, after in zip(lengths, seen.before, seen.after, strict=True):
            touched = (after - before).abs().amax(dim=(0, 2)) > 0
            assert touched.nonzero().flatten().tolist() == ([0] if length == 1 else list(range(4, length)))


@contextmanager
def failing(layer):
    def fail(*_):
        raise ValueError("planted")

    handle = layer.register_forward_hook(fail)
    try:
        yield
    finally:
        handle.remove()


def hook_count(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())

"""The pitfalls that other libraries fell into: what we do, and beside it a naive version that goes wrong."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.hooks.probe import add_plan, direction_of, witness
from tests.tiny_models import tiny_model
from vectorstore.errors import ConflictError, InvalidInputError
from vectorstore.hooks.hidden import _input_hook
from vectorstore.hooks.record import record
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place

IDS = torch.tensor([[1, 5, 9, 23, 7], [1, 40, 3, 12, 33]])
V = direction_of(32)
POST = Place("resid_post", 1)
PRE = Place("resid_pre", 1)
GREEDY = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}


def residual(model, layer, run):
    """The input of the layer above, seen by a hook of our own."""
    seen = []
    watch = lambda _, args, kwargs: seen.append((args[0] if args else kwargs["hidden_states"]).clone())
    handle = decoder_layers(model)[layer + 1].register_forward_pre_hook(watch, with_kwargs=True)
    with torch.no_grad():
        run()
    handle.remove()
    return seen


# 1. A layer's output is a tensor in some models and a tuple in others.


@pytest.mark.parametrize("architecture", ["llama", "falcon"])
def test_every_row_is_steered_whether_a_layer_returns_a_tensor_or_a_tuple(architecture):
    model = tiny_model(architecture)
    seen = witness(model, POST, steer(model, add_plan(POST, V)), lambda: model(IDS))
    assert seen.steered_columns == [[0, 1, 2, 3, 4]] * 2


def test_naive_adding_to_the_first_item_of_the_output_steers_only_the_first_row():
    def naive(_module, _args, output):
        output[0][:] += V

    model = tiny_model("llama")
    before = residual(model, 1, lambda: model(IDS))[0]
    handle = model.model.layers[1].register_forward_hook(naive)
    after = residual(model, 1, lambda: model(IDS))[0]
    handle.remove()
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])


# 2. What reaches a layer as an argument differs between models and versions.


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "mpt"])
def test_steering_needs_no_argument_that_only_some_layers_get(architecture):
    model = tiny_model(architecture)
    seen = witness(model, PRE, steer(model, add_plan(PRE, V)), lambda: model(IDS))
    assert torch.equal(seen.after[0], seen.before[0] + V)


class ByName(nn.Module):
    """A layer whose caller names every argument, as some models do."""

    def forward(self, *, mask=None, hidden_states=None, x=None):
        return hidden_states if x is None else x * (mask is not None)


def test_hidden_states_may_come_by_name_too():
    layer = ByName()
    layer.register_forward_pre_hook(_input_hook(lambda hidden: hidden + V), with_kwargs=True)
    zeros = torch.zeros(1, 2, 32)
    assert torch.equal(layer(hidden_states=zeros), zeros + V)
    assert torch.equal(layer(mask=torch.ones(1, 2, dtype=torch.long), x=zeros), zeros + V)
    with pytest.raises(InvalidInputError, match="a ByName was called without hidden states"):
        layer(mask=torch.ones(1, 2, dtype=torch.long))


def test_naive_reading_of_cache_position_fails():
    def naive(_module, args, kwargs):
        return (args[0] + V * (kwargs["cache_position"] >= 0)[None, :, None], *args[1:]), kwargs

    model = tiny_model("gpt2")
    handle = model.transformer.h[1].register_forward_pre_hook(naive, with_kwargs=True)
    with pytest.raises(KeyError, match="cache_position"):
        model(IDS)
    handle.remove()


# 3. With a cache, a decoding step sees one token; so does the prefill of a one-token prompt.


def test_a_one_token_prompt_is_prompt_and_the_steps_after_it_are_not():
    model = tiny_model("llama")
    seen = witness(model, PRE, steer(model, add_plan(PRE, V, "prompt")), lambda: model.generate(IDS[:, :1], **GREEDY))
    assert seen.steered_columns == [[0], [0]]


def test_naive_prompt_steering_by_sequence_length_misses_a_one_token_prompt():
    def naive(_module, args):
        return (args[0] + V, *args[1:]) if args[0].shape[1] > 1 else None

    model = tiny_model("llama")
    unsteered = residual(model, 0, lambda: model.generate(IDS[:, :1], **GREEDY))
    handle = model.model.layers[1].register_forward_pre_hook(naive)
    steered = residual(model, 0, lambda: model.generate(IDS[:, :1], **GREEDY))
    handle.remove()
    assert all(torch.equal(a, b) for a, b in zip(unsteered, steered, strict=True))


def test_naive_steering_of_the_last_index_steers_every_decoding_step():
    def naive(_module, args):
        args[0][:, -1] += V

    model = tiny_model("llama")
    seen = []
    handle = model.model.layers[1].register_forward_pre_hook(naive)
    watch = model.model.layers[1].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    model.generate(IDS, **GREEDY)
    handle.remove()
    watch.remove()
    assert seen == [5, 1, 1], "the naive hook fired, and added, three times"
    right = witness(model, PRE, steer(model, add_plan(PRE, V, "last")), lambda: model.generate(IDS, **GREEDY))
    assert right.steered_columns == [[4], [4]]


# 4. Padding: the last token is not the last column, and the first is not the first.


def test_last_is_the_last_real_token_under_right_padding():
    model = tiny_model("llama")
    padded = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])}
    seen = witness(model, PRE, steer(model, add_plan(PRE, V, "last")), lambda: model(**padded))
    assert seen.steered_columns == [[2], [4]]


def test_naive_last_column_is_padding():
    def naive(_module, args):
        hidden = args[0].clone()
        hidden[:, -1] += V
        return (hidden, *args[1:])

    model = tiny_model("llama")
    padded = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])}
    before = model(**padded).logits[0, :3]
    handle = model.model.layers[1].register_forward_pre_hook(naive)
    after = model(**padded).logits[0, :3]
    handle.remove()
    assert torch.equal(before, after), "the naive hook steered nothing that the short text can see"
    with steer(model, add_plan(PRE, V, "last")):
        assert not torch.equal(model(**padded).logits[0, :3], before)


# 5. `hidden_states[-1]` comes after the final norm.


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_last_layer_is_recorded_where_it_is_steered(architecture):
    model = tiny_model(architecture)
    last = Place("resid_post", 2)
    recorded = record(model, {"input_ids": IDS}, [last])[last]
    seen = witness(model, last, steer(model, add_plan(last, V)), lambda: model(IDS))
    assert torch.equal(recorded, seen.before[0])


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_naive_hidden_states_of_the_last_layer_live_in_another_space(architecture):
    model = tiny_model(architecture)
    last = Place("resid_post", 2)
    with torch.no_grad():
        naive = model(IDS, output_hidden_states=True).hidden_states[-1]
    recorded = record(model, {"input_ids": IDS}, [last])[last]
    assert not torch.allclose(naive, recorded, atol=1e-2)
    norm = model.model.norm if architecture == "llama" else model.transformer.ln_f
    torch.testing.assert_close(naive, norm(recorded))


# 9. A float32 vector meets a bfloat16 model.


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_vector_is_cast_once_and_the_model_stays_in_its_dtype(dtype):
    model = tiny_model("llama").to(dtype)
    seen = witness(model, PRE, steer(model, add_plan(PRE, V)), lambda: model.generate(IDS, **GREEDY))
    assert {part.dtype for part in seen.after} == {dtype}
    assert all(torch.equal(b, a + V.to(dtype)) for a, b in zip(seen.before, seen.after, strict=True))


def test_naive_addition_of_a_float32_vector_to_a_bfloat16_model_raises():
    def naive(_module, args):
        return (args[0] + V, *args[1:])

    model = tiny_model("llama").to(torch.bfloat16)
    handle = model.model.layers[1].register_forward_pre_hook(naive)
    with pytest.raises(RuntimeError, match="dtype"):
        model(IDS)
    handle.remove()


# 11. Wrapping a layer hides its attributes and renames its weights.


def test_the_modules_of_a_steered_model_are_the_same_objects_under_the_same_names():
    model = tiny_model("qwen3")
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    with steer(model, add_plan(POST, V)):
        assert dict(model.named_modules()) == modules
        assert all(value is parameters[name] for name, value in model.named_parameters())
        model(IDS)


def test_naive_wrapping_of_a_layer_loses_its_attributes():
    class Naive(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, *args, **kwargs):
            return self.layer(*args, **kwargs) + V

    model = tiny_model("qwen3")
    names = set(dict(model.named_parameters()))
    attribute = "hidden_size"
    assert hasattr(model.model.layers[1], attribute)
    model.model.layers[1] = Naive(model.model.layers[1])
    assert not hasattr(model.model.layers[1], attribute)
    assert set(dict(model.named_parameters())) != names


# 12. A copy of a hooked model keeps hooks that belong to the other.


def test_a_steered_model_is_not_copied_and_afterwards_its_copy_is_its_own():
    model = tiny_model("llama")
    with steer(model, add_plan(POST, V)), pytest.raises(ConflictError, match="do it outside of the block"):
        copy.deepcopy(model)
    other = copy.deepcopy(model)
    with steer(model, add_plan(POST, V)), torch.no_grad():
        assert not torch.equal(model(IDS).logits, other(IDS).logits)


def test_naive_copying_of_a_hooked_model_copies_its_hooks():
    model = tiny_model("llama")
    handle = model.model.layers[1].register_forward_hook(lambda _, __, output: output + V)
    other = copy.deepcopy(model)
    handle.remove()
    with torch.no_grad():
        assert not torch.equal(model(IDS).logits, other(IDS).logits)


# 13. PEFT runs the model that it is given now by a call, hooks included, now by its `forward`, past them.


class Adapted(nn.Module):
    """What PEFT makes of a model, as far as calls go."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.config = model, model.config

    def get_base_model(self):
        return self.inner

    def forward(self, *args, **kwargs):
        return self.inner.forward(*args, **kwargs)

    def generate(self, *args, **kwargs):
        return self.inner.generate(*args, **kwargs)


@pytest.mark.parametrize("tokens", ["all", "prompt", "generated", "last"])
def test_what_peft_made_of_a_model_is_steered_as_the_model_is(tokens):
    model = tiny_model("llama")
    adapted, plan = Adapted(model), add_plan(POST, V, tokens)
    mask = torch.ones_like(IDS)
    with steer(model, plan), torch.no_grad():
        expected = model(IDS).logits, model.generate(IDS, attention_mask=mask, **GREEDY)
    with steer(adapted, plan), torch.no_grad():
        assert torch.equal(adapted(IDS).logits, expected[0])
        assert torch.equal(adapted.generate(IDS, attention_mask=mask, **GREEDY), expected[1])
        assert torch.equal(model(IDS).logits, expected[0])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in adapted.modules())

"""What baking does to weights, what it shares, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.builders import make_card, make_vector
from tests.hooks.baked import (
    IDS,
    ROUNDING,
    STREAM,
    WRITERS,
    apart,
    bakes,
    hooked,
    logits,
    plan_at,
    step_at,
    stirred,
    together,
)
from tests.hooks.probe import add_plan, direction_of
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.baking import bake
from vectorstore.hooks.fit import CompatibleModelWarning
from vectorstore.hooks.steer import steer
from vectorstore.models.identity import identify
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of

POST = Place("resid_post", 1)
GATE = Step(
    "gate", POST, "last", direction_of(32).numpy(), {"threshold": 0.0}, inner=step_at(tiny_model(), "add", POST)
)


def test_a_vector_is_the_bias_of_the_mlp_and_nothing_else_changes():
    model = tiny_model("gpt2")
    direction = direction_of(32)
    baked = bake(model, add_plan(POST, direction))
    assert baked.changed == ("transformer.h.1.mlp.c_proj.bias",)
    assert baked.config == {}
    for (name, old), (_, new) in zip(model.named_parameters(), baked.model.named_parameters(), strict=True):
        if name in baked.changed:
            assert torch.equal(new, old + direction)
        else:
            assert new is old, "what stays is shared"


def test_biases_that_come_with_one_are_zero():
    model = stirred("llama")
    baked = bake(model, add_plan(POST, direction_of(32)))
    assert baked.config == {"mlp_bias": True}
    assert model.config.mlp_bias is False
    biases = {name: bias for name, bias in baked.model.named_parameters() if name.endswith("bias")}
    assert len(biases) == 3 * LAYER_COUNT
    assert baked.changed == tuple(name for name, bias in biases.items() if bias.any())
    assert baked.changed == ("model.layers.1.mlp.down_proj.bias",)
    assert {*baked.changed, *baked.zeros} == set(biases)


def test_ablating_every_output_is_weight_orthogonalisation():
    """Arditi et al., arXiv 2406.11717, section 4.1: W' = W - r rᵀ W for each matrix that writes to the stream."""
    model = stirred("llama", tie_word_embeddings=True)
    plan = plan_at(model, "ablate", WRITERS)
    unit = torch.from_numpy(plan.steps[0].direction).double()
    unit /= unit.norm()
    baked = bake(model, plan)
    embeddings = model.model.embed_tokens.weight.detach().double()
    torch.testing.assert_close(
        baked.model.model.embed_tokens.weight.double(), embeddings - (embeddings @ unit)[:, None] * unit
    )
    for old, new in zip(model.model.layers, baked.model.model.layers, strict=True):
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            weight = old.get_submodule(name).weight.detach().double()
            expected = weight - torch.outer(unit, unit @ weight)
            torch.testing.assert_close(new.get_submodule(name).weight.double(), expected)
    assert baked.config == {"tie_word_embeddings": False}
    assert torch.equal(baked.model.lm_head.weight, model.lm_head.weight)
    assert model.lm_head.weight is model.model.embed_tokens.weight


VARIANTS = [
    ("gpt_neox", {"use_parallel_residual": False}, False),
    ("stablelm", {"use_parallel_residual": True, "use_qkv_bias": True}, True),
    ("falcon", {"parallel_attn": False}, False),
    ("falcon", {"parallel_attn": False, "bias": True}, False),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}, True),
    ("granite", {"residual_multiplier": 0.3, "embedding_multiplier": 5.0}, False),
    ("granitemoe", {"residual_multiplier": 0.3, "embedding_multiplier": 5.0}, False),
    ("opt", {"do_layer_norm_before": False}, False),
    ("opt", {"word_embed_proj_dim": 16}, False),
    ("opt", {"enable_bias": False}, False),
    ("bloom", {"apply_residual_connection_post_layernorm": True}, False),
    ("llama", {"tie_word_embeddings": True, "attention_bias": True}, False),
    ("gemma2", {"tie_word_embeddings": False}, False),
    ("qwen2", {"tie_word_embeddings": True}, False),
    ("olmo", {"clip_qkv": 0.1}, False),
    ("xglm", {"scale_embedding": False}, False),
]


@pytest.mark.parametrize(("architecture", "changes", "stream"), VARIANTS)
def test_variants_of_an_architecture_are_exact_or_refused_too(architecture, changes, stream):
    model = stirred(architecture, **changes)
    places = [Place("resid_pre", 0), Place("resid_pre", 1), POST, *(Place(s, 1) for s in ("attn_out", "mlp_out"))]
    for seed, place in enumerate([*places, Place("head_out", 1)]):
        for operator in ("add", "ablate", "affine"):
            bakes(model, plan_at(model, operator, [place], seed))
    bakes(model, plan_at(model, "ablate", WRITERS))
    assert bakes(model, plan_at(model, "ablate", STREAM)) == stream
    assert bakes(model, plan_at(model, "add", [Place("resid_pre", 0)]))


def test_steps_at_one_place_keep_their_order():
    model = stirred("gpt2")
    place = Place("mlp_out", 1)
    steps = [
        step_at(model, operator, place, seed) for seed, operator in enumerate(("add", "ablate", "clamp", "affine"))
    ]
    for order in (steps, steps[::-1]):
        assert bakes(model, Plan(tuple(order)))
    forth, back = (hooked(model, Plan(tuple(order))) for order in (steps, steps[::-1]))
    assert apart(forth, back) > 100 * ROUNDING


def test_what_is_left_nowhere_may_be_set_anywhere_after():
    """Once every output leaves a direction out, the stream has the same part along it at every token."""
    model = stirred("gpt2")
    everywhere = plan_at(model, "ablate", WRITERS)
    middle = [Place("resid_pre", 1), POST]
    assert bakes(model, together([everywhere, plan_at(model, "ablate", middle)]))
    assert bakes(model, together([everywhere, plan_at(model, "clamp", middle)]))
    assert bakes(model, together([everywhere, plan_at(model, "add", middle, 1), plan_at(model, "affine", middle)]))
    assert not bakes(model, together([everywhere, plan_at(model, "clamp", middle, 1)]))
    without_one = Plan(everywhere.steps[:-3])
    assert not bakes(model, together([without_one, plan_at(model, "ablate", [Place("resid_post", 2)])]))


def test_nothing_more_is_done_where_nothing_is_left():
    model = stirred("mistral")  # has no bias that could take the rounding of what is taken out once more
    everywhere = plan_at(model, "ablate", WRITERS)
    more = together([everywhere, plan_at(model, "ablate", [*STREAM, POST])])
    one, other = bake(model, everywhere), bake(model, more)
    assert one.changed == other.changed
    for name in one.changed:
        assert torch.equal(one.model.get_parameter(name), other.model.get_parameter(name))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operator", ["add", "ablate"])
def test_in_half_precision_each_parameter_is_rounded_once(dtype, operator):
    model = stirred("llama").to(dtype)
    wide = stirred("llama")
    with torch.no_grad():
        for name, parameter in wide.named_parameters():
            parameter.copy_(model.get_parameter(name))
    plan = plan_at(model, operator, [Place("attn_out", 1), Place("mlp_out", 2)])
    narrow, exact = bake(model, plan), bake(wide, plan)
    assert narrow.changed == exact.changed
    for name in narrow.changed:
        assert torch.equal(narrow.model.get_parameter(name), exact.model.get_parameter(name).to(dtype))
    assert narrow.difference < 0.05


def test_double_precision_is_taken_as_it_is():
    model = stirred("llama").double()
    plan = together([plan_at(model, "ablate", WRITERS), plan_at(model, "add", [POST], 1)])
    assert apart(logits(bake(model, plan).model), hooked(model, plan)) < 1e-6


def test_a_baked_model_generates_what_the_hooked_one_does():
    model = stirred("llama")
    plan = together([plan_at(model, "ablate", WRITERS), plan_at(model, "add", [POST], 1)])
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    prompt = {"input_ids": IDS[1:], "attention_mask": torch.ones_like(IDS[1:])}
    with steer(model, plan):
        expected = model.generate(**prompt, **options)
    baked = bake(model, plan).model
    assert torch.equal(baked.generate(**prompt, **options), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in baked.modules())


def test_a_baked_model_can_be_baked_again():
    model = stirred("llama", tie_word_embeddings=True)
    first, second = plan_at(model, "ablate", WRITERS), plan_at(model, "add", [Place("resid_pre", 0), POST], 1)
    twice = bake(bake(model, first).model, second).model
    with steer(model, first):
        assert apart(logits(twice), hooked(model, second)) < ROUNDING


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            Step("add", POST, "generated", direction_of(32).numpy()),
            "it steers 'generated' tokens, and weights act on all",
        ),
        (Step("add", POST, "prompt_front", direction_of(32, 2).numpy()), "it steers 'prompt_front' tokens"),
        (Step("keepnorm", POST, "all", direction_of(32).numpy()), "what 'keepnorm' does depends on the activations"),
        (Step("piecewise", POST, "all", direction_of(32).numpy()), "what 'piecewise' does depends on the activations"),
        (GATE, "a gate looks at the prompt"),
        (Step("twist", POST, "all", direction_of(32).numpy()), "there is no operator 'twist'"),
    ],
)
def test_what_no_weights_can_do_is_refused(step, said):
    with pytest.raises(InvalidInputError, match=said):
        bake(tiny_model(), Plan((step,)))


@pytest.mark.parametrize(
    ("architecture", "operator", "place", "said"),
    [
        (
            "mistral",
            "add",
            "resid_post.1",
            "the MLP of layer 1 has no bias, and the config of MistralForCausalLM has no",
        ),
        ("qwen2", "add", "attn_out.1", r"the attention of layer 1 has no bias.*can be baked at resid_pre.0; otherwise"),
        ("qwen3", "add", "resid_pre.2", "MLP of layer 1 has no bias.*can be baked at resid_pre.0, attn_out, head_out;"),
        (
            "gemma2",
            "add",
            "resid_post.1",
            "a norm stands between its layers' outputs and the residual stream; constants",
        ),
        (
            "llama",
            "ablate",
            "resid_pre.2",
            "layers before it have read what the attention of layer 1 gives along its direction; do the same at",
        ),
        ("gemma2", "ablate", "resid_post.0", "a norm stands between the attention of layer 0 and the residual stream"),
        ("bloom", "ablate", "resid_pre.0", "the norm of the embeddings: a norm cannot leave out a direction"),
        ("xglm", "ablate", "resid_pre.0", "sinusoidal positions cannot be written into"),
    ],
)
def test_what_an_architecture_cannot_take_up_is_refused_with_the_reason(architecture, operator, place, said):
    model = tiny_model(architecture)
    with pytest.raises(MisfitError, match=said):
        bake(model, plan_at(model, operator, [Place.parse(place)]))


def test_a_model_that_is_no_plain_one_is_refused():
    plan = add_plan(POST, direction_of(32))
    with pytest.raises(MisfitError, match="how MambaForCausalLM adds to its residual stream is not known"):
        bake(tiny_model("mamba"), plan)
    with pytest.raises(InvalidInputError, match=r"training mode; call model.eval\(\) first"):
        bake(tiny_model().train(), plan)
    quantised = tiny_model()
    quantised.config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(MisfitError, match="quantised, and would have to be rounded anew"):
        bake(quantised, plan)
    small = tiny_model("gpt2")
    weight = small.transformer.h[0].mlp.c_fc.weight
    small.transformer.h[0].mlp.c_fc.weight = nn.Parameter(weight.detach().to(torch.float8_e4m3fn))
    with pytest.raises(MisfitError, match=r"c_fc.weight is quantised \(float8_e4m3fn\)"):
        bake(small, plan)


def test_a_model_that_is_being_steered_is_refused():
    model = tiny_model("gpt2")
    plan = add_plan(POST, direction_of(32))
    with steer(model, plan), pytest.raises(InvalidInputError, match="the model is being steered"):
        bake(model, plan)
    assert bakes(model, plan)


def test_a_model_that_was_altered_is_refused_instead_of_baked_wrong():
    plan = add_plan(POST, direction_of(32))
    extra = tiny_model()
    extra.model.layers[1].mlp.down_proj.bias = nn.Parameter(torch.zeros(32))
    with pytest.raises(MisfitError, match=r"plain transformers would not load model\.layers\.1\.mlp\.down_proj\.bias"):
        bake(extra, plan)
    doubled = tiny_model("gpt2")
    doubled.transformer.h[1].mlp.dropout = Doubled()
    with pytest.raises(MisfitError, match="the baked GPT2LMHeadModel differs from the hooked one by"):
        bake(doubled, plan)


def test_a_direction_that_the_dtype_does_not_hold_is_refused():
    model = tiny_model("gpt2").half()
    with pytest.raises(InvalidInputError, match=r"mlp.c_proj.bias would be larger than torch.float16 holds"):
        bake(model, add_plan(POST, torch.full((32,), 1e6)))


def test_a_vector_of_other_weights_warns_and_one_of_another_model_is_refused():
    model, vector = tiny_model("gpt2"), make_vector(1, width=32)
    tuned = plan_of(vector, make_card(vector, model=identify(tiny_model("gpt2", seed=1))))
    with pytest.warns(CompatibleModelWarning, match="which has other weights") as caught:
        bake(model, tuned)
    assert caught[0].filename == __file__
    other = plan_of(vector, make_card(vector, model=identify(tiny_model())))
    with pytest.raises(MisfitError, match="another tokenizer or architecture"):
        bake(model, other)


def test_a_plan_without_steps_shares_everything():
    model = tiny_model()
    baked = bake(model, Plan())
    assert (baked.changed, baked.difference, baked.effect) == ((), 0, 0)
    assert all(one is other for one, other in zip(model.parameters(), baked.model.parameters(), strict=True))


def test_the_direction_of_zeros_ablates_nothing():
    model = stirred("gpt2")
    zero = Step("ablate", Place("mlp_out", 1), "all", np.zeros(32, np.float32))
    assert bake(model, Plan((zero,))).changed == ()


class Doubled(nn.Module):
    """Doubles what an MLP gives, which no table knows."""

    def forward(self, hidden):
        """Return twice the hidden states."""
        return 2 * hidden

"""`compute`: what runs, what the card says, what is refused, and that the model stays as it was."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from tokenizers.processors import TemplateProcessing

import vectorstore
from tests.extract import oracle
from tests.extract.counting import counted_layers
from tests.extract.tiny_tokenizer import IDS, ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.canonical import canonical_bytes
from vectorstore.card import Data
from vectorstore.codec import pack, unpack
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.residual import residual_norms
from vectorstore.hooks.record import record
from vectorstore.models.identity import identify
from vectorstore.models.layers import site_widths
from vectorstore.pairs import ContrastPair
from vectorstore.place import SITES, Place

PAIRS = [ContrastPair("I loved it.", "I hated it."), ContrastPair("So good", "So very bad")]
MEAN: dict[str, Any] = {"method": "mean_difference"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_recorded_activations_are_the_hidden_states(architecture: str):
    model, ids = tiny_model(architecture), torch.tensor([ids_of("a text of some length")])
    places = [Place("resid_pre", layer) for layer in range(LAYER_COUNT)]
    recorded = record(model, {"input_ids": ids}, places)
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
    for place in places:
        assert torch.equal(recorded[place], states[place.layer])


@pytest.mark.parametrize(
    ("site", "layer", "ran"),
    [
        ("resid_pre", 0, []),
        ("resid_pre", 2, [0, 1]),
        ("resid_pre", [2, 0], [0, 1]),
        ("resid_post", 1, [0, 1]),
        ("attn_out", 1, [0]),
        ("mlp_out", 1, [0]),
        ("head_out", 2, [0, 1]),
        ("resid_pre", -1, [0, 1]),
    ],
)
def test_only_the_layers_it_needs_run_once_per_batch(site: str, layer: int | list[int], ran: list[int]):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    compute(model, tokenizer, PAIRS, layer=layer, site=site, **MEAN)  # R is measured
    with counted_layers(model) as counted:
        compute(model, tokenizer, PAIRS, layer=layer, site=site, batch_size=2, **MEAN)
    assert counted == ran * 2


@pytest.mark.parametrize("site", SITES)
def test_every_site_gives_directions_of_its_width(site: str):
    model = tiny_model("qwen3")  # heads are wider than d_model
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=[0, 2], site=site, **MEAN)
    assert vector.places == (Place(site, 0), Place(site, 2))
    assert all(direction.shape == (site_widths(model)[site],) for direction in vector.directions.values())
    assert set(card.residual_norms) == (set() if site == "head_out" else set(vector.places))


def test_negative_layers_count_from_the_end_and_doubles_count_once():
    vector, _ = compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=[-1, 2, 0, -3], **MEAN)
    assert vector.layers == (0, 2)


def test_layers_may_be_numpys_numbers():
    pack(*compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=np.arange(2), **MEAN))
    pack(*compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=np.int64(1), **MEAN))


def test_the_card_tells_the_truth_and_the_blob_reads_back():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector, card = compute(model, tokenizer, PAIRS, layer=[1, 2], seed=7, **MEAN)
    assert card.model == identify(model, tokenizer)
    assert (card.method.name, card.method.version, card.method.seed) == ("mean_difference", "1", 7)
    assert card.data == Data.of("pairs", tuple(pair.to_json() for pair in PAIRS))
    assert dict(card.norms) == vector.norms
    assert dict(card.residual_norms) == residual_norms(model, tokenizer, vector.places)
    assert dict(card.versions) == {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "vectorstore": vectorstore.__version__,
    }
    assert unpack(pack(vector, card)) == (vector, card)


def test_the_same_input_gives_the_same_bytes():
    first, again = (pack(*compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, **MEAN)) for _ in range(2))
    assert first == again


def test_large_data_is_described_whole():
    pairs = [ContrastPair(f"I loved it {'so ' * 30}{'abc'[number % 3]}", "No") for number in range(700)]
    _, card = compute(tiny_model(), tiny_tokenizer(), pairs, layer=0, batch_size=64, **MEAN)
    assert card.data.count == len(card.data.items or ()) == 700
    assert card.data.detached() is not None
    assert len(canonical_bytes(card.to_json())) < 8192


def test_progress_counts_texts_up_to_all_of_them():
    seen: list[tuple[int, int]] = []
    settings = {"layer": 1, "batch_size": 3, "progress": lambda done, total: seen.append((done, total))}
    compute(tiny_model(), tiny_tokenizer(), PAIRS, **settings, **MEAN)
    assert seen == [(3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float32", np.float32), ("bfloat16", ml_dtypes.bfloat16), ("float16", np.float16)]
)
def test_directions_have_the_dtype_asked_for_and_norms_are_theirs(dtype: str, kind: type):
    vector, card = compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, dtype=dtype, **MEAN)
    full, _ = compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, **MEAN)
    direction = vector.directions[Place("resid_pre", 1)]
    assert direction.dtype == np.dtype(kind)
    assert np.array_equal(direction, full.directions[Place("resid_pre", 1)].astype(kind))
    assert unpack(pack(vector, card)) == (vector, card)


@pytest.mark.parametrize("method", ["actadd", "mean_difference"])
def test_a_bf16_models_activations_are_widened_before_they_are_subtracted(method: str):
    model = tiny_model().to(torch.bfloat16)
    vector, card = compute(model, tiny_tokenizer(), PAIRS[:1], layer=2, method=method)
    direction = vector.directions[Place("resid_pre", 2)]
    positive, negative = (ids_of(text) for text in (PAIRS[0].positive, PAIRS[0].negative))
    if method == "actadd":
        np.testing.assert_array_equal(direction, oracle.actadd(model, positive, negative, 0, 2))
    else:
        expected = oracle.mean_difference(model, [(positive, negative)], 2)
        np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    assert not np.array_equal(direction, direction.astype(ml_dtypes.bfloat16))
    assert card.model.dtype == "bfloat16"


def test_a_model_in_train_mode_gives_the_same_vector_and_is_put_back():
    model = tiny_model("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    still, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, **MEAN)
    model.train()
    model.transformer.h[1].eval()
    before = {name: module.training for name, module in model.named_modules()}
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    training, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, **MEAN)
    assert training == still
    assert {name: module.training for name, module in model.named_modules()} == before
    assert sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()) == hooks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mean_diference"}, "did you mean mean_difference.*actadd"),
        ({"method": "umap"}, "no extraction method 'umap'; known: actadd, mean_difference"),
        ({"site": "resid"}, "no site 'resid'.*resid_pre"),
        ({"layer": 3}, "layer 3 is out of range"),
        ({"layer": [0, -4]}, "layer -4 is out of range"),
        ({"layer": []}, "no layer is given"),
        ({"data": []}, "there are no contrast pairs"),
        ({"params": {"reed": "all"}}, "no parameter 'reed'.*did you mean read"),
        ({"params": {"read": "first"}}, "read is 'first'.*mean_content or last_content or"),
        ({"params": {"read": 3}}, "read is 3"),
        ({"dtype": "int8"}, "no dtype 'int8'.*bfloat16"),
        ({"batch_size": 0}, "a batch size of 0"),
        ({"seed": -1}, "a seed of -1"),
        ({"seed": 2**63}, "a seed of 9223372036854775808; give 0 to 9223372036854775807"),
    ],
)
def test_bad_input_is_refused_before_the_model_runs(changes: dict[str, Any], message: str):
    model = tiny_model()
    settings: dict[str, Any] = {"data": PAIRS, "layer": 1, **MEAN} | changes
    with counted_layers(model) as ran, pytest.raises(InvalidInputError, match=message):
        compute(model, tiny_tokenizer(), **settings)
    assert ran == []


def test_a_text_longer_than_the_context_is_refused():
    pairs = [PAIRS[0], ContrastPair("a" * 128, "b")]
    with pytest.raises(InvalidInputError, match="positive prompt of pair 2 has 129 tokens, and the model takes 128"):
        compute(tiny_model(), tiny_tokenizer(), pairs, layer=1, **MEAN)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"{number}!" for number in range(200)])
    pairs = [PAIRS[0], ContrastPair("199!", "b")]
    with pytest.raises(
        InvalidInputError, match=r"the tokenizer gives token .*, and the model knows 0 to .* own tokenizer"
    ):
        compute(tiny_model(), tokenizer, pairs, layer=1, **MEAN)


def test_a_tokenizer_that_leaves_its_bos_out_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("$A", None, [])
    with pytest.raises(InvalidInputError, match=r"does not put BOS first; call .*prepare\(tokenizer\)"):
        compute(tiny_model(), tokenizer, PAIRS, layer=1, **MEAN)


@pytest.mark.parametrize("read", ["last_content", "mean_content"])
def test_what_a_tokenizer_appends_is_not_read(read: str):
    tokenizer = tiny_tokenizer()
    special = [("<bos>", IDS["<bos>"]), ("<eos>", IDS["<eos>"])]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<bos> $A <eos>", None, special)
    settings = MEAN | {"layer": 1, "params": {"read": read}}
    (vector, card), (expected, _) = (
        compute(tiny_model(), each, PAIRS, **settings) for each in (tokenizer, tiny_tokenizer())
    )
    assert vector == expected
    assert "<eos>" not in card.read.tokens[0]


def test_activations_that_are_nan_are_refused():
    model = tiny_model()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 are NaN or infinite in float32.*--dtype float32"):
        compute(model, tiny_tokenizer(), PAIRS, layer=[0, 1], **MEAN)


def test_a_neutral_text_that_is_nan_is_refused():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with torch.no_grad():
        model.get_input_embeddings().weight[ids_of("e")[1]] = torch.nan
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 are NaN or infinite in float32.*--dtype float32"):
        compute(model, tokenizer, [ContrastPair("a", "b")], layer=1, **MEAN)


@pytest.mark.parametrize("pair", [ContrastPair("same", "same"), ContrastPair("  ", "")])
def test_prompts_that_are_the_same_to_the_model_are_refused(pair: ContrastPair):
    with pytest.raises(InvalidInputError, match=r"direction at resid_pre\.1 is zero.*choose prompts that differ"):
        compute(tiny_model(), tiny_tokenizer(), [pair], layer=1)


def test_a_direction_too_large_for_its_dtype_is_refused():
    model = tiny_model()
    with torch.no_grad():
        model.get_input_embeddings().weight *= 1e8
    with pytest.raises(InvalidInputError, match=r"resid_pre\.0 has values that float16 cannot hold"):
        compute(model, tiny_tokenizer(), PAIRS, layer=0, dtype="float16", **MEAN)

"""ActAdd gives the paper's numbers, on every architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract import oracle
from tests.extract.tiny_tokenizer import BOS, IDS, SPACE, ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

PAIR = ContrastPair(" weddings", " shop")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", range(LAYER_COUNT))
def test_the_direction_is_the_independent_implementations(architecture: str, layer: int):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), [PAIR], layer=layer)
    expected = oracle.actadd(model, ids_of(" weddings"), ids_of(" shop"), SPACE, layer)
    np.testing.assert_allclose(vector.directions[Place("resid_pre", layer)], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_row_0_is_exactly_zero_where_bos_leads_both_prompts(architecture: str):
    vector, _ = compute(tiny_model(architecture), tiny_tokenizer(), [PAIR], layer=range(LAYER_COUNT))
    for direction in vector.directions.values():
        assert not direction[0].any()
        assert direction[2:].any(axis=1).all()  # " w" and " s" differ from the third token on


def test_the_steered_logits_are_the_independent_implementations():
    model, prompt = tiny_model(), ids_of("I went up to my friend and said")
    vector, _ = compute(model, tiny_tokenizer(), [PAIR], layer=1)
    direction = vector.directions[Place("resid_pre", 1)]
    expected = oracle.steered_logits(
        model,
        decoder_layers(model)[1],
        prompt,
        2 * oracle.actadd(model, ids_of(" weddings"), ids_of(" shop"), SPACE, 1),
    )
    with steer(model, Plan((Step("add", Place("resid_pre", 1), "prompt_front", 2 * direction),))), torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0]
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "gpt_neox", "opt"])
def test_at_layer_0_steering_a_space_padded_prompt_equals_prompting(architecture: str):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), [ContrastPair("wed", "")], layer=0)
    step = Step("add", Place("resid_pre", 0), "prompt_front", vector.directions[Place("resid_pre", 0)])
    rest = [IDS[letter] for letter in "I said"]
    padded = torch.tensor([[BOS, SPACE, SPACE, SPACE, *rest]])
    prompted = torch.tensor([[*ids_of("wed"), *rest]])
    with torch.no_grad():
        plain, expected = model(padded).logits, model(prompted).logits
        with steer(model, Plan((step,))):
            steered = model(padded).logits
    torch.testing.assert_close(steered, expected, rtol=1e-5, atol=1e-6)
    assert (plain - expected).abs().max() > 1e-4


def test_an_empty_negative_is_bos_and_spaces():
    model = tiny_model()
    empty, card = compute(model, tiny_tokenizer(), [ContrastPair("wed", "")], layer=1)
    spaces, _ = compute(model, tiny_tokenizer(), [ContrastPair("wed", "   ")], layer=1)
    assert empty == spaces
    assert card.read.tokens == (("<bos>", "w", "e", "d"), ("<bos>", " ", " ", " "))


def test_the_shorter_prompt_may_be_the_positive_one():
    model = tiny_model()
    there, _ = compute(model, tiny_tokenizer(), [ContrastPair("a", "bcd")], layer=1)
    back, card = compute(model, tiny_tokenizer(), [ContrastPair("bcd", "a")], layer=1)
    np.testing.assert_array_equal(there.directions[Place("resid_pre", 1)], -back.directions[Place("resid_pre", 1)])
    assert card.read.tokens[1] == ("<bos>", "a", " ", " ")


def test_a_text_that_brings_its_own_bos_has_it_once():
    model = tiny_model()
    plain, _ = compute(model, tiny_tokenizer(), [PAIR], layer=1)
    led, card = compute(model, tiny_tokenizer(), [ContrastPair("<bos> weddings", " shop")], layer=1)
    assert led == plain
    assert card.read.tokens[0][:2] == ("<bos>", " ")


def test_the_padding_can_be_any_single_token():
    model = tiny_model()
    vector, card = compute(model, tiny_tokenizer(), [PAIR], layer=2, params={"pad_token": "<eos>"})
    expected = oracle.actadd(model, ids_of(" weddings"), ids_of(" shop"), IDS["<eos>"], 2)
    np.testing.assert_array_equal(vector.directions[Place("resid_pre", 2)], expected)
    assert card.method.params == {"pad_token": "<eos>"}
    assert card.read.tokens[1][-1] == "<eos>"


def test_padding_of_no_or_several_tokens_is_an_error_that_names_the_option():
    model = tiny_model()
    with pytest.raises(InvalidInputError, match=r"' ' is 0 tokens .*--pad-token"):
        compute(model, tiny_tokenizer(spaces=False), [PAIR], layer=1)
    with pytest.raises(InvalidInputError, match=r"'ab' is 2 tokens .*--pad-token"):
        compute(model, tiny_tokenizer(), [PAIR], layer=1, params={"pad_token": "ab"})


def test_prompts_of_equal_length_need_no_padding_token():
    pair = ContrastPair("love", "hate")
    vector, _ = compute(tiny_model(), tiny_tokenizer(spaces=False), [pair], layer=1)
    assert vector == compute(tiny_model(), tiny_tokenizer(), [pair], layer=1)[0]


def test_several_pairs_are_an_error_that_says_to_compose():
    with pytest.raises(InvalidInputError, match=r"actadd takes 1 contrast pair, and there are 2.*compose them with \+"):
        compute(tiny_model(), tiny_tokenizer(), [PAIR, PAIR], layer=1)


def test_the_card_says_how_to_apply_it():
    _, card = compute(tiny_model(), tiny_tokenizer(), [PAIR], layer=1)
    assert card.apply == Apply("prompt_front", "add")
    assert card.read.positions == "all"
    assert card.model.bos_token_id == BOS


def test_without_bos_the_card_says_so_and_the_first_token_counts():
    model = tiny_model()
    vector, card = compute(model, tiny_tokenizer(bos=False), [ContrastPair("ab", "cd")], layer=1)
    expected = oracle.actadd(model, ids_of("ab")[1:], ids_of("cd")[1:], SPACE, 1)
    np.testing.assert_array_equal(vector.directions[Place("resid_pre", 1)], expected)
    assert card.model.bos_token_id is None
    assert vector.directions[Place("resid_pre", 1)][0].any()

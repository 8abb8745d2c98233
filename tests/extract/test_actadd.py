"""ActAdd gives the paper's numbers, on every architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract import oracle
from tests.extract.tiny_tokenizer import BOS, IDS, SPACE, ids_of, tiny_tokenizer
from tests.hooks.test_prompt_middle_back import Published
from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.recompute import repeat
from vectorstore.hooks import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector

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


PAIRS = (ContrastPair(" weddings", " shop"), ContrastPair("love", "hate"), ContrastPair("a", ""))


@pytest.mark.parametrize("placement", ["front", "middle", "back"])
def test_several_pairs_steer_as_if_each_were_added_alone(placement: str):
    """Each with the hook of its own length, as the authors add several."""
    model, prompt = tiny_model(), ids_of("I went up to my friend")
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=1, params={"placement": placement})
    each = [oracle.actadd(model, ids_of(pair.positive), ids_of(pair.negative), SPACE, 1) for pair in PAIRS]
    expected = torch.zeros(len(prompt), 32)
    for rows in each:
        middle, half = len(prompt) // 2, len(rows) // 2
        at = {"front": 0, "middle": middle - half, "back": len(prompt) - len(rows)}[placement]
        expected[at : at + len(rows)] += torch.from_numpy(rows)
    with torch.no_grad(), steer(model, plan_of(vector, card, 2)):
        steered = model(torch.tensor([prompt])).logits[0]
    wanted = oracle.steered_logits(model, decoder_layers(model)[1], prompt, 2 * expected.numpy())
    torch.testing.assert_close(steered, wanted, rtol=0, atol=1e-5)
    assert [len(tokens) for tokens in card.read.tokens] == [10, 10, 5, 5, 2, 2]


def test_pairs_of_one_length_each_need_no_padding_token():
    pairs = [ContrastPair("love", "hate"), ContrastPair("a", "b")]
    vector, _ = compute(tiny_model(), tiny_tokenizer(spaces=False), pairs, layer=1)
    assert vector.directions[Place("resid_pre", 1)].shape == (5, 32)


@pytest.mark.parametrize(("placement", "tokens"), [("middle", "prompt_middle"), ("back", "prompt_back")])
def test_the_placement_says_which_tokens_and_changes_nothing_else(placement: str, tokens: Tokens):
    model = tiny_model()
    front, _ = compute(model, tiny_tokenizer(), [PAIR], layer=1)
    vector, card = compute(model, tiny_tokenizer(), [PAIR], layer=1, params={"placement": placement})
    assert vector == front
    assert card.apply == Apply(tokens)
    assert card.method.params == {"pad_token": " ", "placement": placement}
    assert repeat(vector, card, model, tiny_tokenizer()).agrees


def test_a_slice_of_the_dimensions_is_all_that_is_kept():
    model, place = tiny_model(), Place("resid_pre", 1)
    whole, _ = compute(model, tiny_tokenizer(), [PAIR], layer=1)
    vector, card = compute(model, tiny_tokenizer(), [PAIR], layer=1, params={"dims": "8:20"})
    np.testing.assert_array_equal(vector.directions[place][:, 8:20], whole.directions[place][:, 8:20])
    assert not vector.directions[place][:, :8].any()
    assert not vector.directions[place][:, 20:].any()
    assert card.method.params["dims"] == "8:20"


@pytest.mark.parametrize("dims", ["8", "20:8", "8:8", "0:33", "-4:8", ":", "8:", "a:b", " 8:20", "0:9999999999"])
def test_dimensions_that_are_no_range_of_the_place_are_an_error(dims: str):
    with pytest.raises(InvalidInputError, match=r"dims is .*, and resid_pre has dimensions 0:32; .* --dims 0:16"):
        compute(tiny_model(), tiny_tokenizer(), [PAIR], layer=1, params={"dims": dims})


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


@pytest.mark.weights
@pytest.mark.parametrize("placement", ["middle", "back"])
def test_on_real_weights_it_is_what_the_authors_hooks_do_and_names_its_topic(
    demo: tuple[PreTrainedModel, PreTrainedTokenizerBase], placement: str
):
    model, tokenizer = demo
    place, pair = Place("resid_pre", 18), ContrastPair(" weddings", "")
    vector, card = compute(model, tokenizer, [pair], layer=18, params={"placement": placement})
    rows = vector.directions[place]
    ids = tokenizer("I went up to my friend and said", return_tensors="pt")["input_ids"]
    words = [tokenizer(word, add_special_tokens=False)["input_ids"][-1] for word in (" wedding", " bride", " weddings")]

    def topic(added: np.ndarray) -> float:
        shifted = SteeringVector({place: added.astype(np.float32)})
        with torch.no_grad(), steer(model, plan_of(shifted, tokens=card.apply.tokens), force=True):
            return float(model(ids).logits[0, -1].log_softmax(dim=-1)[words].logsumexp(dim=0))

    location = {"middle": "mid", "back": "back"}[placement]
    with Published(model, 18, location, torch.from_numpy(np.array(rows))), torch.no_grad():
        expected = model(ids).logits[0]
    with torch.no_grad(), steer(model, plan_of(vector, card)):
        torch.testing.assert_close(model(ids).logits[0], expected, rtol=0, atol=1e-4)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    noise = np.random.default_rng(0).normal(size=(5, *rows.shape))
    random = [topic(each / np.linalg.norm(each, axis=1, keepdims=True) * norms) for each in noise]
    assert topic(rows) > max(random) + 1

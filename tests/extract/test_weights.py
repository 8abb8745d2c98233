"""Both methods on real weights: the demo model's 30 layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract import oracle
from vectorstore.extract import compute
from vectorstore.extract.residual import neutral_text
from vectorstore.hooks import steer
from vectorstore.hooks.record import record
from vectorstore.models.layers import decoder_layers
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

pytestmark = pytest.mark.weights
Demo = tuple[PreTrainedModel, PreTrainedTokenizerBase]

WEDDINGS = ContrastPair(" weddings", "")
PROMPT = "I went up to my friend and said"
SENTIMENT = [
    ContrastPair("The soup was warm and tasted wonderful.", "The soup was cold and tasted awful."),
    ContrastPair("I loved every minute of the concert.", "I hated every minute of the concert."),
    ContrastPair("What a delightful little garden.", "What a dreadful little garden."),
    ContrastPair("The staff were kind and helpful.", "The staff were rude and useless."),
    ContrastPair("This phone works perfectly.", "This phone never works."),
    ContrastPair("We had a great time at the beach.", "We had a terrible time at the beach."),
    ContrastPair("Her speech was clear and inspiring.", "Her speech was muddled and boring."),
    ContrastPair("The room is bright, clean and cosy.", "The room is dark, dirty and cramped."),
    ContrastPair("The ending made me smile.", "The ending made me groan."),
    ContrastPair("It was worth every penny.", "It was a waste of every penny."),
    ContrastPair("He cooks the best pasta in town.", "He cooks the worst pasta in town."),
    ContrastPair("The journey was smooth and pleasant.", "The journey was bumpy and miserable."),
    ContrastPair("I am thrilled with the result.", "I am disappointed with the result."),
    ContrastPair("The picture is beautiful.", "The picture is ugly."),
    ContrastPair("They answered quickly and politely.", "They answered late and rudely."),
    ContrastPair("The new chair feels amazing.", "The new chair feels horrible."),
]
HELD_OUT = (
    (
        "An excellent book that I will read again.",
        "The view from our balcony was gorgeous.",
        "My sister adored the present.",
        "Such a fun and clever film.",
        "The bread was fresh and delicious.",
        "Our teacher is patient and brilliant.",
    ),
    (
        "A tedious book that I could not finish.",
        "The noise from our balcony was unbearable.",
        "My sister despised the present.",
        "Such a dull and stupid film.",
        "The bread was stale and disgusting.",
        "Our teacher is impatient and unfair.",
    ),
)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """`<|endoftext|>` and the text's own tokens, without what the loader did to the tokenizer."""
    return [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]


def test_actadd_is_the_independent_implementations(demo: Demo):
    model, tokenizer = demo
    vector, card = compute(model, tokenizer, [WEDDINGS], layer=[0, 6, 18, 29])
    space = tokenizer(" ", add_special_tokens=False)["input_ids"][0]
    for place, direction in vector.directions.items():
        expected = oracle.actadd(model, _ids(tokenizer, " weddings"), [0], space, place.layer)
        np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-6 * float(np.abs(expected).max()))
        assert not direction[0].any()
        assert direction[1].any()
    assert card.read.tokens == (("<|endoftext|>", "Ġweddings"), ("<|endoftext|>", "Ġ"))


def test_the_steered_logits_are_the_independent_implementations(demo: Demo):
    model, tokenizer = demo
    vector, _ = compute(model, tokenizer, [WEDDINGS], layer=18)
    step = Step("add", Place("resid_pre", 18), "prompt_front", vector.directions[Place("resid_pre", 18)])
    ids = _ids(tokenizer, PROMPT)
    space = tokenizer(" ", add_special_tokens=False)["input_ids"][0]
    added = oracle.actadd(model, _ids(tokenizer, " weddings"), [0], space, 18)
    expected = oracle.steered_logits(model, decoder_layers(model)[18], ids, added)
    with torch.no_grad(), steer(model, Plan((step,))):
        steered = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(steered, expected, rtol=0, atol=1e-4)


def test_at_layer_0_steering_a_space_padded_prompt_equals_prompting(demo: Demo):
    model, tokenizer = demo
    vector, _ = compute(model, tokenizer, [WEDDINGS], layer=0)
    step = Step("add", Place("resid_pre", 0), "prompt_front", vector.directions[Place("resid_pre", 0)])
    rest = _ids(tokenizer, PROMPT)[1:]
    padded = torch.tensor([[*_ids(tokenizer, " "), *rest]])
    prompted = torch.tensor([[*_ids(tokenizer, " weddings"), *rest]])
    with torch.no_grad():
        plain, expected = model(padded).logits, model(prompted).logits
        with steer(model, Plan((step,))):
            steered = model(padded).logits
    torch.testing.assert_close(steered, expected, rtol=0, atol=1e-3)
    assert (plain - expected).abs().max() > 1


def test_the_residual_norms_are_those_of_ordinary_text(demo: Demo):
    _, card = compute(*demo, [WEDDINGS], layer=[3, 18, 21, 24])
    for layer, expected in {3: 87, 18: 196, 21: 251, 24: 380}.items():  # measured on another text
        assert 0.6 < card.residual_norms[Place("resid_pre", layer)] / expected < 1.6


def test_the_neutral_text_has_the_length_it_should(demo: Demo):
    assert 250 <= len(demo[1](neutral_text())["input_ids"]) <= 350


def test_a_sentiment_vector_separates_sentences_it_has_not_seen(demo: Demo):
    model, tokenizer = demo
    place = Place("resid_pre", 18)
    vector, _ = compute(model, tokenizer, SENTIMENT, layer=18, method="mean_difference")

    def projection(text: str) -> float:
        hidden = record(model, {"input_ids": torch.tensor([_ids(tokenizer, text)])}, [place])[place][0]
        return float(hidden[1:].mean(dim=0) @ torch.from_numpy(np.array(vector.directions[place])))

    positive, negative = ([projection(text) for text in texts] for texts in HELD_OUT)
    wins = [above > below for above, below in itertools.product(positive, negative)]
    assert sum(wins) / len(wins) >= 0.9


@pytest.mark.parametrize("read", ["mean_content", "last_content"])
def test_the_batch_size_does_not_matter(demo: Demo, read: str):
    settings = {"layer": 18, "method": "mean_difference", "params": {"read": read}}
    alone, _ = compute(*demo, SENTIMENT, batch_size=1, **settings)
    together, _ = compute(*demo, SENTIMENT, batch_size=16, **settings)
    place = Place("resid_pre", 18)
    difference = (together - alone).norms[place]
    assert difference < 1e-5 * alone.norms[place]

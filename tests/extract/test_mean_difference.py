"""Mean difference equals a plain loop over single texts, whatever the batches and the tokenizer's padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract import oracle
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, LAYER_COUNT, tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.vector import Array

TEXTS = (
    ("I loved every minute of it.", "I hated it."),
    ("What a day", "A long and dull day, with rain"),
    ("Good", "Bad"),
    ("She smiled at all of us", "He frowned"),
    ("a", "It was so late that nobody came"),
)
PAIRS = [ContrastPair(*texts) for texts in TEXTS]
IDS = [(ids_of(positive), ids_of(negative)) for positive, negative in TEXTS]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("read", ["mean_content", "last_content"])
def test_batches_give_what_single_texts_give(architecture: str, read: str):
    model = tiny_model(architecture)
    vector, _ = compute(
        model,
        tiny_tokenizer(),
        PAIRS,
        layer=range(LAYER_COUNT),
        method="mean_difference",
        params={"read": read},
        batch_size=4,
    )
    for layer in range(LAYER_COUNT):
        expected = oracle.mean_difference(model, IDS, layer, last=read == "last_content")
        direction = vector.directions[Place("resid_pre", layer)]
        np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))


@pytest.mark.parametrize("read", ["mean_content", "last_content"])
def test_the_batch_size_does_not_matter(read: str):
    model = tiny_model()

    def direction(batch_size: int) -> Array:
        vector, _ = compute(
            model,
            tiny_tokenizer(),
            PAIRS,
            layer=2,
            method="mean_difference",
            params={"read": read},
            batch_size=batch_size,
        )
        return vector.directions[Place("resid_pre", 2)]

    alone = direction(1)
    for batch_size in (2, 3, 7, 100):
        np.testing.assert_allclose(direction(batch_size), alone, rtol=0, atol=1e-5 * float(np.abs(alone).max()))


@pytest.mark.parametrize("read", ["mean_content", "last_content"])
def test_the_tokenizers_padding_side_does_not_matter(read: str):
    model, settings = tiny_model(), {"layer": 1, "method": "mean_difference", "params": {"read": read}}
    right, _ = compute(model, tiny_tokenizer(padding_side="right"), PAIRS, **settings)
    left, _ = compute(model, tiny_tokenizer(padding_side="left"), PAIRS, **settings)
    assert left == right


def test_bos_stays_out_of_the_mean():
    model = tiny_model()
    with torch.no_grad():  # an attention sink: BOS alone is enormous
        model.get_input_embeddings().weight[ids_of("")[0]] *= 1e4
    vector, _ = compute(model, tiny_tokenizer(), [ContrastPair("ab", "cdefgh")], layer=0, method="mean_difference")
    assert np.abs(vector.directions[Place("resid_pre", 0)]).max() < 1


def test_without_bos_all_tokens_are_content():
    model = tiny_model()
    vector, _ = compute(
        model, tiny_tokenizer(bos=False), [ContrastPair("ab", "cde")], layer=1, method="mean_difference"
    )
    rows = [oracle.states(model, ids_of(text)[1:], 1).numpy().mean(axis=0) for text in ("ab", "cde")]
    np.testing.assert_allclose(vector.directions[Place("resid_pre", 1)], rows[0] - rows[1], rtol=1e-4, atol=1e-7)


def test_the_card_says_how_it_was_made_and_how_to_apply_it():
    _, card = compute(tiny_model(), tiny_tokenizer(), PAIRS[:1], layer=1, method="mean_difference")
    assert card.apply == Apply("all", "add")
    assert card.method.params == {"read": "mean_content"}
    assert card.read.positions == "mean_content"
    assert card.read.tokens == (tuple(TEXTS[0][0]), tuple(TEXTS[0][1]))


def test_the_card_of_last_content_has_only_the_last_tokens():
    _, card = compute(
        tiny_model(), tiny_tokenizer(), PAIRS, layer=1, method="mean_difference", params={"read": "last_content"}
    )
    assert card.read.positions == "last_content"
    assert card.read.tokens[:3] == ((".",), (".",), ("y",))


def test_many_texts_leave_their_tokens_out_of_the_card():
    pairs = [ContrastPair("a" * 100, "b" * 100)] * 30  # 6,000 tokens of four bytes
    _, card = compute(tiny_model(), tiny_tokenizer(), pairs, layer=0, method="mean_difference")
    assert card.read.tokens == ()
    assert card.data.count == 30


def test_an_empty_negative_is_an_error():
    with pytest.raises(InvalidInputError, match=r"negative prompt of pair 2 is empty.*actadd"):
        compute(
            tiny_model(),
            tiny_tokenizer(),
            [PAIRS[0], ContrastPair("a", "")],
            layer=1,
            method="mean_difference",
        )


def test_a_text_without_tokens_is_an_error():
    with pytest.raises(InvalidInputError, match="negative prompt of pair 1 has no tokens"):
        compute(tiny_model(), tiny_tokenizer(spaces=False), [ContrastPair("a", " ")], layer=1, method="mean_difference")

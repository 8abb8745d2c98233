"""Mean-centring: texts against a corpus of another size, each text counting alike."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract import oracle
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.place import Place
from vectorstore.texts import Text

ABOUT = ("The bride wore white", "They married in May", "a wedding")
CORPUS = ("The train leaves soon", "It has four legs", "Look there", "A tree", "He sleeps")
DATA = (*(Text(text, "negative") for text in CORPUS), *map(Text, ABOUT))


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("read", ["mean_content", "last_content"])
def test_it_is_the_mean_of_the_texts_less_the_mean_of_the_corpus(architecture: str, read: str):
    model = tiny_model(architecture)
    vector, _ = compute(
        model, tiny_tokenizer(), DATA, layer=2, method="mean_centring", params={"read": read}, batch_size=3
    )

    def mean(texts: tuple[str, ...]) -> np.ndarray:
        rows = [oracle.states(model, ids_of(text), 2).double().numpy()[1:] for text in texts]
        return sum(row[-1] if read == "last_content" else row.mean(axis=0) for row in rows) / len(rows)

    expected = mean(ABOUT) - mean(CORPUS)
    direction = vector.directions[Place("resid_pre", 2)]
    np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))


def test_the_corpus_against_itself_has_no_direction():
    texts = [*map(Text, CORPUS), *(Text(text, "negative") for text in CORPUS)]
    with pytest.raises(InvalidInputError, match=r"direction at resid_pre\.1 is zero"):
        compute(tiny_model(), tiny_tokenizer(), texts, layer=1, method="mean_centring", batch_size=1)


def test_texts_without_a_corpus_are_an_error():
    with pytest.raises(InvalidInputError, match="add a corpus"):
        compute(tiny_model(), tiny_tokenizer(), list(map(Text, ABOUT)), layer=1, method="mean_centring")


def test_the_card_says_how_it_was_made():
    _, card = compute(tiny_model(), tiny_tokenizer(), DATA, layer=1, method="mean_centring")
    assert card.apply == Apply("all", "add")
    assert card.read.positions == "mean_nonsink"
    assert (card.data.kind, card.data.count) == ("texts", 8)

"""A word's vector is its row of the input embedding, the same at every layer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.tiny_tokenizer import IDS, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.place import Place
from vectorstore.texts import Target


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(
    ("target", "letters"), [(Target("k"), "k"), (Target("king"), "king"), (Target("ng", "ki"), "ng")]
)
def test_it_is_the_mean_row_of_the_words_tokens(architecture: str, target: Target, letters: str):
    model = tiny_model(architecture)
    vector, card = compute(model, tiny_tokenizer(), [target], layer=[0, 2], method="token_embedding")
    rows = model.get_input_embeddings().weight.detach().double().numpy()
    expected = rows[[IDS[letter] for letter in letters]].mean(axis=0)
    for layer in (0, 2):
        place = Place("resid_pre", layer)
        np.testing.assert_allclose(vector.directions[place], expected, rtol=0, atol=1e-7)
        assert card.figures[place] == {"tokens": len(letters)}


def test_an_embedding_narrower_than_the_layers_is_an_error():
    model = tiny_model("opt", word_embed_proj_dim=16)
    with pytest.raises(InvalidInputError, match="the embedding is 16 wide, and the layers are 32"):
        compute(model, tiny_tokenizer(), [Target("king")], layer=0, method="token_embedding")


def test_a_chat_is_an_error():
    with pytest.raises(InvalidInputError, match="leave --chat out"):
        compute(
            tiny_model(), tiny_tokenizer(), [Target("king")], layer=0, method="token_embedding", params={"chat": True}
        )


def test_a_word_without_tokens_is_an_error():
    with pytest.raises(InvalidInputError, match="target 1 has no tokens"):
        compute(tiny_model(), tiny_tokenizer(spaces=False), [Target("  ")], layer=0, method="token_embedding")

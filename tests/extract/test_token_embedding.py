"""A word's vector is its row of the input embedding, the same at every layer."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.tiny_tokenizer import IDS, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.evaluate.propensity import next_token_mass
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
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


@pytest.mark.weights
def test_late_in_the_demo_model_it_makes_the_word_likelier(demo: tuple[PreTrainedModel, PreTrainedTokenizerBase]):
    model, tokenizer = demo
    place = Place("resid_pre", 24)
    vector, card = compute(model, tokenizer, [Target(" wedding")], layer=24, method="token_embedding")
    length = 0.15 * card.residual_norms[place] / card.norms[place]
    plan = Plan((Step("add", place, "all", (length * vector.directions[place]).astype(np.float32)),))

    def mass(plan: Plan | None = None) -> np.ndarray:
        prompts = ["I went up to my friend and said", "The best part of the year was the", "She looked at the"]
        with steer(model, plan or Plan(())):
            return np.log(next_token_mass(model, tokenizer, prompts, [" wedding"])[0])

    plain = mass()
    assert (mass(plan) - plain > 2).all()
    assert all((mass(random_like(plan, seed)) - plain < 1).all() for seed in range(3))

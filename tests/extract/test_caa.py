"""CAA: the mean difference at the last token but one, or wherever the answer is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract.last_rows import PAIRS, sides
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.hooks.record import record
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import plan_of

PLACE = Place("resid_post", 1)
LETTERS = (
    ContrastPair("(A)", "(B)", "Do you like it. "),
    ContrastPair("(B)", "(A)", "Are you so. "),
    ContrastPair("(A)", "(B)", "Well. "),
)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("index", [-2, -1, 1])
def test_it_is_the_mean_difference_at_the_token(architecture: str, index: int):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, method="caa", params={"index": index})
    positive, negative = sides(model, 2, index=index if index < 0 else index + 1)  # the oracle counts BOS
    expected = positive.mean(axis=0) - negative.mean(axis=0)
    direction = vector.directions[Place("resid_pre", 2)]
    np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))


def test_it_reads_the_letter_of_an_answer_in_brackets():
    _, card = compute(tiny_model(), tiny_tokenizer(), LETTERS, layer=1, method="caa")
    assert card.method.params == {"index": -2}
    assert card.read.positions == "at_index"
    assert card.read.tokens == tuple((letter,) for letter in "ABBAAB")


def test_it_is_applied_to_the_last_token_of_the_prompt_and_not_before():
    model = tiny_model()
    vector, card = compute(model, tiny_tokenizer(), LETTERS, layer=1, method="caa", site="resid_post")
    assert card.apply == Apply("generated", "add")
    inputs = {"input_ids": torch.tensor([ids_of("Is it so")])}
    plain = record(model, inputs, [PLACE])[PLACE][0]
    with steer(model, plan_of(vector, card, 1)):
        steered = record(model, inputs, [PLACE])[PLACE][0]
    torch.testing.assert_close(steered[:-1], plain[:-1], rtol=0, atol=0)
    added = torch.from_numpy(np.array(vector.directions[PLACE]))
    torch.testing.assert_close(steered[-1], plain[-1] + added, rtol=0, atol=1e-6)


def test_a_text_that_is_too_short_is_an_error_that_names_it():
    with pytest.raises(InvalidInputError, match="negative prompt of pair 1 has no token to read at at_index"):
        compute(tiny_model(), tiny_tokenizer(), [ContrastPair("yes", "n")], layer=1, method="caa")

"""The score of an answer is the sum of its tokens' log-probabilities, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.answers import Answers
from vectorstore.hooks import steer
from vectorstore.place import Place

PROMPTS, ANSWERS = ["the film was", "a dog", "we went on"], [" good", " very bad", " ok"]


def alone(model, prompt, answer):
    ids, first = [*ids_of(prompt), *ids_of(answer)[1:]], len(ids_of(prompt))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return sum(float(logits[column - 1, ids[column]]) for column in range(first, len(ids)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_scores_as_each_text_does_alone(architecture):
    model = tiny_model(architecture)
    found = Answers.of(tiny_tokenizer(), PROMPTS, ANSWERS).log_probabilities(model)
    expected = [alone(model, *both) for both in zip(PROMPTS, ANSWERS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_inside_a_block_it_is_the_steered_models():
    model, answers = tiny_model(), Answers.of(tiny_tokenizer(), PROMPTS, ANSWERS)
    plan = add_plan(Place("resid_pre", 1), direction_of(32), "generated")
    unsteered = answers.log_probabilities(model)
    with steer(model, plan, prompt_length=answers.prompt_length):
        steered = answers.log_probabilities(model)
    expected = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        with steer(model, plan, prompt_length=len(ids_of(prompt))):
            expected.append(alone(model, prompt, answer))
    np.testing.assert_allclose(steered, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(steered - unsteered).min() > 0.01


def test_what_cannot_be_scored_is_told():
    with pytest.raises(InvalidInputError, match="2 prompts and 1 answers"):
        Answers.of(tiny_tokenizer(), ["a", "b"], ["c"])
    with pytest.raises(InvalidInputError, match="answer 1 has no tokens"):
        Answers.of(tiny_tokenizer(), ["a", "b"], ["c", ""])
    with pytest.raises(InvalidInputError, match="the model knows 0 to 9"):
        Answers.of(tiny_tokenizer(), ["a"], ["z"]).log_probabilities(tiny_model(vocab_size=10))

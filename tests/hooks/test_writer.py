"""Writing obeys its own settings, whatever the model's say, and leaves the random state alone."""

from __future__ import annotations

import pytest
import torch

from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.writer import Sampling, Writer
from vectorstore.place import Place

VOCABULARY = {"vocab_size": 128, "eos_token_id": 100}  # no eos among the tokenizer's ids


def writer(sampling=None, model=None, **seen):
    return Writer(model or tiny_model(**VOCABULARY), tiny_tokenizer(), sampling or Sampling(6), **seen)


def test_greedy_text_is_the_same_each_time_and_steering_changes_it():
    plain = writer()
    plan = add_plan(Place("resid_post", 2), 50 * direction_of(32))
    assert plain.write("hello") == plain.write("hello")
    assert plain.write("hello", plan) != plain.write("hello")


def test_sampling_repeats_by_its_seed_and_leaves_the_random_state_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    texts = [writer(Sampling(12, temperature=1, seed=seed)).write("hello") for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert torch.equal(torch.rand(3), expected)


def test_the_models_own_settings_do_not_reach_the_text():
    stubborn = tiny_model(**VOCABULARY)
    config = stubborn.generation_config
    config.num_beams, config.top_k, config.no_repeat_ngram_size, config.do_sample = 4, 1, 1, True
    for sampling in (Sampling(6), Sampling(6, temperature=5)):
        assert writer(sampling, stubborn).write("hello") == writer(sampling).write("hello")


def test_progress_counts_the_new_tokens():
    seen = []
    writer(progress=lambda done, total: seen.append((done, total))).write("hello")
    assert seen[0] == (0, 6)
    assert seen[-1] == (6, 6)


def test_a_text_that_leaves_no_room_in_the_context_is_an_error():
    with pytest.raises(InvalidInputError, match="exceed the model's 128"):
        writer(Sampling(max_new_tokens=125)).write("hello")

"""On real weights the vectors do what they should, and norm-matched random ones do not."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.evaluate.propensity import next_token_mass
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.pairs import ContrastPair, read_pairs
from vectorstore.plan import plan_of

pytestmark = pytest.mark.weights
DATA = Path(__file__).parent.parent.parent / "cli" / "data"
TEXTS = json.loads((DATA / "demo.json").read_text())
SEEDS = range(5)


def mass(demo, plan, prompts, *word_lists):
    with nullcontext() if plan is None else steer(demo[0], plan):
        return next_token_mass(*demo, TEXTS[prompts], *(TEXTS[words] for words in word_lists))


def test_the_wedding_vector_multiplies_the_probability_of_wedding_words_and_random_ones_do_not(demo):
    plan = plan_of(*compute(*demo, [ContrastPair(" weddings", " ")], layer=18, method="actadd"))
    weddings = lambda plan: mass(demo, plan, "wedding_prompts", "wedding_words")[0]
    unsteered = weddings(None)
    factor = weddings(plan).mean() / unsteered.mean()
    random = [weddings(random_like(plan, seed)).mean() / unsteered.mean() for seed in SEEDS]
    assert factor > 6
    assert max(random) < 2
    assert (weddings(plan) > unsteered).all()


def test_the_sentiment_vector_moves_held_out_prompts_both_ways_by_its_sign(demo):
    vector, card = compute(*demo, read_pairs(DATA / "sentiment.jsonl"), layer=18, method="mean_difference")

    def log_odds(plan):
        positive, negative = mass(demo, plan, "sentiment_prompts", "positive_words", "negative_words")
        return np.log(positive) - np.log(negative)

    unsteered = log_odds(None)
    up, down = (log_odds(plan_of(vector, card, strength)) - unsteered for strength in ("0.15r", "-0.15r"))
    assert (up > 0).all()
    assert (down < 0).all()
    assert up.mean() > 2
    assert down.mean() < -2
    random = [log_odds(random_like(plan_of(vector, card, "0.15r"), seed)) - unsteered for seed in SEEDS]
    assert abs(np.mean(random)) < 1


def test_a_word_of_several_tokens_is_an_error(demo):
    with pytest.raises(InvalidInputError, match="' honeymoon' is 3 tokens"):
        next_token_mass(*demo, ["We went on our"], [" honeymoon"])

"""pca_center is repeng's: PCA of all activations about the middle of their pairs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.last_rows import PAIRS, Doubles, sides
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import MethodUse
from vectorstore.extract import compute
from vectorstore.extract.methods.pca_center import PCA_CENTER
from vectorstore.place import Place


def oracle_pca_center(positive: Doubles, negative: Doubles) -> Doubles:
    """Independent: the covariance of both sides less the middles; flipped if more pairs lie the wrong way round."""
    middle = (positive + negative) / 2
    component = np.linalg.eigh(np.cov(np.concatenate([positive - middle, negative - middle]).T))[1][:, -1]
    smaller = np.mean(positive @ component < negative @ component)
    larger = np.mean(positive @ component > negative @ component)
    return -component if smaller > larger else component


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_it_is_the_independent_implementation(architecture: str):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, method="pca_center")
    expected = oracle_pca_center(*sides(model, 2))
    np.testing.assert_allclose(vector.directions[Place("resid_pre", 2)], expected, rtol=0, atol=1e-4)


def test_of_one_pair_it_is_the_difference_at_length_1():
    model = tiny_model()
    vector, card = compute(model, tiny_tokenizer(), PAIRS[:1], layer=2, method="pca_center")
    positive, negative = sides(model, 2, PAIRS[:1])
    difference = (positive - negative)[0]
    place = Place("resid_pre", 2)
    np.testing.assert_allclose(vector.directions[place], difference / np.linalg.norm(difference), rtol=0, atol=1e-5)
    assert card.figures[place]["cosine_to_mean"] == pytest.approx(1)


def test_it_keeps_what_pca_diff_takes_off():
    generator = np.random.default_rng(0)
    common, between = np.zeros(24), np.zeros(24)
    common[3], between[7] = 5, 3
    negative = generator.standard_normal((60, 24))
    positive = negative + common + generator.standard_normal((60, 1)) * between
    found = PCA_CENTER.direction(positive, negative, MethodUse("pca_center", "1"))
    assert found.direction[3] > 0.9
    assert found.figures["cosine_to_mean"] > 0.9

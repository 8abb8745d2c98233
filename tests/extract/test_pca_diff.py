"""pca_diff is repeng's, trap and all."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.last_rows import PAIRS, Doubles, sides
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods.pca_diff import PCA_DIFF
from vectorstore.place import Place


def oracle_pca_diff(positive: Doubles, negative: Doubles) -> Doubles:
    """Independent: the axis of the covariance of the differences; flipped if more pairs lie the wrong way round."""
    component = np.linalg.eigh(np.cov((positive - negative).T))[1][:, -1]
    smaller = np.mean(positive @ component < negative @ component)
    larger = np.mean(positive @ component > negative @ component)
    return -component if smaller > larger else component


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_it_is_the_independent_implementation(architecture: str):
    model = tiny_model(architecture)
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=2, method="pca_diff")
    positive, negative = sides(model, 2)
    expected, mean = oracle_pca_diff(positive, negative), (positive - negative).mean(axis=0)
    place = Place("resid_pre", 2)
    np.testing.assert_allclose(vector.directions[place], expected, rtol=0, atol=1e-4)
    cosine = expected @ mean / np.linalg.norm(mean)
    assert card.figures[place]["cosine_to_mean"] == pytest.approx(cosine, abs=1e-4)


def test_it_misses_what_all_pairs_have_in_common_and_the_figure_says_so():
    generator = np.random.default_rng(0)
    common, between = np.zeros(24), np.zeros(24)
    common[3], between[7] = 5, 3
    negative = generator.standard_normal((60, 24))
    positive = negative + common + generator.standard_normal((60, 1)) * between
    found = PCA_DIFF.direction(positive, negative, MethodUse("pca_diff", "1"))
    assert abs(found.direction[7]) > 0.99
    assert abs(found.direction[3]) < 1e-6
    assert abs(found.figures["cosine_to_mean"]) < 0.5


def test_one_pair_is_an_error():
    with pytest.raises(InvalidInputError, match="pca_diff takes the mean off the differences of 1 pairs"):
        compute(tiny_model(), tiny_tokenizer(), PAIRS[:1], layer=1, method="pca_diff")

"""LAT: differences turned round by chance, PCA, and the sign of most pairs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.last_rows import PAIRS, Doubles, sides
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods.lat import LAT
from vectorstore.place import Place


def oracle_lat(positive: Doubles, negative: Doubles, signs: Doubles) -> Doubles:
    """RepE's steps: shuffle within pairs, subtract, recentre, PCA, and the sign of which of a pair is the larger."""
    first = np.where(signs[:, None] > 0, positive, negative)
    second = np.where(signs[:, None] > 0, negative, positive)
    relative = first - second
    recentred = relative - relative.mean(axis=0, keepdims=True)
    component = np.linalg.eigh(np.cov(recentred.T))[1][:, -1]
    projected = np.stack([positive @ component, negative @ component])
    is_largest = np.mean(projected[0] == projected.max(axis=0))
    is_smallest = np.mean(projected[0] == projected.min(axis=0))
    return component * (np.sign(is_largest - is_smallest) or 1)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("seed", [0, 7])
def test_it_is_the_independent_implementation(architecture: str, seed: int):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, method="lat", seed=seed)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), len(PAIRS))
    expected = oracle_lat(*sides(model, 2), signs)
    np.testing.assert_allclose(vector.directions[Place("resid_pre", 2)], expected, rtol=0, atol=1e-4)


def test_with_many_pairs_it_finds_what_they_have_in_common_whatever_the_seed():
    generator = np.random.default_rng(0)
    common = np.zeros(24)
    common[3] = 5
    negative = generator.standard_normal((400, 24))
    positive = negative + common + generator.standard_normal((400, 24))
    for seed in range(5):
        found = LAT.direction(positive, negative, MethodUse("lat", "1", seed=seed))
        assert found.direction[3] > 0.99
        assert found.figures["cosine_to_mean"] > 0.99


def test_another_seed_turns_other_differences_round():
    one, other = (
        compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, method="lat", seed=seed)[0] for seed in (0, 1)
    )
    assert one != other


def test_one_pair_is_an_error():
    with pytest.raises(InvalidInputError, match="lat takes the mean off the differences of 1 pairs"):
        compute(tiny_model(), tiny_tokenizer(), PAIRS[:1], layer=1, method="lat")

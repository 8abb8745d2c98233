"""LAT: differences turned round by chance, PCA, and the sign of most pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract.last_rows import PAIRS, Doubles, sides
from tests.extract.test_weights import Demo
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods.lat import LAT
from vectorstore.extract.prefixes import prefixes_of
from vectorstore.hooks.record import record
from vectorstore.models.tokenizer import encode
from vectorstore.pairs import ContrastPair
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


def as_the_authors_do(positive: Doubles, negative: Doubles, signs: Doubles) -> Doubles:
    """`get_directions` and `PCARepReader`: rows in pairs, shuffled inside, with a label for each row."""
    labels = [[1, 0] if sign > 0 else [0, 1] for sign in signs]
    ordered = [(p, n) if sign > 0 else (n, p) for p, n, sign in zip(positive, negative, signs, strict=True)]
    hidden = np.stack([row for pair in ordered for row in pair])
    relative = hidden[::2] - hidden[1::2]
    mean = relative.mean(axis=0, keepdims=True)
    component = np.linalg.svd(relative - mean, full_matrices=False)[2][0]  # as `PCA(n_components=1)`
    scores = ((hidden - mean) @ component / np.linalg.norm(component)).reshape(-1, 2)
    is_min = [pair[label.index(1)] == min(pair) for pair, label in zip(scores, labels, strict=True)]
    is_max = [pair[label.index(1)] == max(pair) for pair, label in zip(scores, labels, strict=True)]
    return component * (np.sign(np.mean(is_max) - np.mean(is_min)) or 1)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_authors_reader_on_activations_of_any_shape(seed: int):
    generator = np.random.default_rng(100 + seed)
    for count, width in ((9, 30), (31, 6)):
        negative = generator.standard_normal((count, width))
        positive = negative + generator.standard_normal((count, width)) + generator.standard_normal(width)
        found = LAT.direction(positive, negative, MethodUse("lat", "1", seed=seed)).direction
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), count)
        np.testing.assert_allclose(found, as_the_authors_do(positive, negative, signs), rtol=0, atol=1e-8)
        assert np.linalg.norm(found) == pytest.approx(1)


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


@pytest.mark.weights
def test_a_function_is_told_from_its_opposite_in_the_tokens_of_statements_it_has_not_seen(demo: Demo):
    """RepE's detection: of the two of a pair, that with the larger part along the direction was told to be honest."""
    model, tokenizer = demo
    place = Place("resid_pre", 18)
    statements = [
        "The Earth orbits the Sun once every year and turns on its own axis every day.",
        "Bees collect nectar from flowers and turn it into honey inside their hives.",
        "Whales are mammals and have to come to the surface of the sea to breathe air.",
    ]
    seen, unseen = (_told(prefixes_of(tokenizer, some)) for some in (statements[:2], statements[2:]))
    vector, _ = compute(model, tokenizer, seen, layer=18, method="lat")
    texts = [text for pair in unseen for text in (pair.positive, pair.negative)]
    last = record(model, encode(tokenizer, texts), [place])[place][:, -1]
    parts = (last @ torch.from_numpy(vector.directions[place].copy())).reshape(-1, 2)
    assert len(unseen) > 8
    assert (parts[:, 0] > parts[:, 1]).float().mean() > 0.9


def _told(prefixes: tuple[str, ...]) -> list[ContrastPair]:
    told = "Pretend you're {} person making statements about the world. {}"
    return [ContrastPair(told.format("an honest", each), told.format("an untruthful", each)) for each in prefixes]

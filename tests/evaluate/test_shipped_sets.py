"""On real weights: half of each set that comes with the package tells the sides of the other half apart."""

from __future__ import annotations

import numpy as np
import pytest

from vectorstore.data import load, names
from vectorstore.evaluate.projection import Reader, rule_of
from vectorstore.evaluate.score import Scale, measure
from vectorstore.extract import compute
from vectorstore.place import Place
from vectorstore.vector import SteeringVector

PLACE = Place("resid_pre", 18)


@pytest.mark.weights
@pytest.mark.parametrize("name", names())
def test_one_half_of_a_set_tells_the_sides_of_the_other_apart(demo, name: str):
    pairs = load(name)
    vector, card = compute(*demo, pairs[:16], layer=18, method="mean_difference")
    found = measure(Reader(*demo, vector, rule_of(card)), pairs[16:], {PLACE: Scale(0.0, "origin")})[PLACE]
    assert found.auroc >= 0.95
    assert found.pairs_right >= 0.9
    noise = np.random.default_rng(0).standard_normal(576).astype(np.float32)
    random = Reader(*demo, SteeringVector({PLACE: noise}), rule_of(card))
    chance = measure(random, pairs[16:], {PLACE: Scale(0.0, "origin")})[PLACE].auroc
    assert max(chance, 1 - chance) < found.auroc - 0.05

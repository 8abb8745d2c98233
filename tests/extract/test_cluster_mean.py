"""Cluster mean: one label's mean activation less that of all others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.last_rows import last_rows
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.place import Place
from vectorstore.texts import Labelled

MOODS = (
    ("What a joy", "joy"),
    ("He frowned", "anger"),
    ("So good to see you", "joy"),
    ("Nobody came", "grief"),
    ("They shouted at us", "anger"),
)
DATA = [Labelled(text, mood) for text, mood in MOODS]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("label", ["joy", "anger"])
def test_it_is_the_mean_of_one_label_less_the_mean_of_the_others(architecture: str, label: str):
    model = tiny_model(architecture)
    vector, card = compute(
        model, tiny_tokenizer(), DATA, layer=2, method="cluster_mean", params={"positive_label": label}, batch_size=2
    )
    rows = last_rows(model, [text for text, _ in MOODS], 2)
    chosen = np.array([mood == label for _, mood in MOODS])
    expected = rows[chosen].sum(axis=0) / chosen.sum() - rows[~chosen].sum(axis=0) / (~chosen).sum()
    direction = vector.directions[Place("resid_pre", 2)]
    np.testing.assert_allclose(direction, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    assert card.method.params == {"read": "last_content", "positive_label": label}


def test_a_label_that_no_text_has_is_an_error():
    with pytest.raises(InvalidInputError, match=r"no text is true.*--positive-label"):
        compute(tiny_model(), tiny_tokenizer(), DATA, layer=1, method="cluster_mean")

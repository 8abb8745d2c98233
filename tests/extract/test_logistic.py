"""The probe's weight is the one whose slope is zero, and torch's optimiser finds the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract.last_rows import PAIRS, sides
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods.logistic import probe
from vectorstore.place import Place


def by_torch(positive: np.ndarray, negative: np.ndarray, penalty: float) -> np.ndarray:
    """Return the unit weight by LBFGS over all rows and labels, without what we know of either."""
    middle = (positive + negative) / 2
    rows = torch.from_numpy(np.concatenate([positive - middle, negative - middle]))
    labels = torch.tensor([1.0] * len(positive) + [0.0] * len(negative), dtype=torch.float64)
    weight = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(rows @ weight, labels, reduction="sum")
        total = entropy + penalty / 2 * weight @ weight
        total.backward()
        return total

    optimiser.step(loss)
    found = weight.detach().numpy()
    return found / np.linalg.norm(found)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("penalty", [0.01, 1])
def test_it_is_what_torch_finds(architecture: str, penalty: float):
    model = tiny_model(architecture)
    vector, _ = compute(model, tiny_tokenizer(), PAIRS, layer=2, method="logistic", params={"penalty": penalty})
    expected = by_torch(*sides(model, 2), penalty)
    np.testing.assert_allclose(vector.directions[Place("resid_pre", 2)], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 50), (50, 6), (9, 9), (1, 4)])
@pytest.mark.parametrize("penalty", [1e-6, 1e-3, 1, 1e6])
@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_the_slope_is_zero_there(shape: tuple[int, int], penalty: float, scale: float):
    rows = scale * (np.random.default_rng(2).standard_normal(shape) + 0.3)
    weight = probe(rows, penalty)
    wrong = 1 / (1 + np.exp(rows @ weight))
    np.testing.assert_allclose(
        penalty * weight, 2 * wrong @ rows, rtol=1e-6, atol=1e-12 * np.abs(wrong[:, None] * rows).sum()
    )


def test_a_great_penalty_leaves_the_mean_difference():
    model, place = tiny_model(), Place("resid_pre", 1)
    _, card = compute(model, tiny_tokenizer(), PAIRS, layer=1, method="logistic", params={"penalty": 1e6})
    assert card.figures[place]["cosine_to_mean"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("penalty", [0, -1, 1e7, float("nan")])
def test_a_penalty_out_of_range_is_an_error(penalty: float):
    with pytest.raises(InvalidInputError, match=r"a penalty of .*give 1e-06 to 1e\+06"):
        compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, method="logistic", params={"penalty": penalty})

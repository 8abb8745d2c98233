"""Separation of two sides' scores, against the definitions, counted out pair by pair and cut by cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.separation import auroc, best_threshold, d_prime, separate

SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=12).map(lambda values: np.array(values, float))


def counted_auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the chance that a positive score is above a negative one, tie by tie."""
    wins = [(above > below) + (above == below) / 2 for above in positive for below in negative]
    return sum(wins) / len(wins)


def accuracy(positive: np.ndarray, negative: np.ndarray, cut: float) -> float:
    return float(np.mean([np.mean(positive > cut), np.mean(negative <= cut)]))


@given(SCORES, SCORES)
def test_the_auroc_is_the_chance_of_the_right_order_with_ties_as_halves(positive: np.ndarray, negative: np.ndarray):
    assert auroc(positive, negative) == pytest.approx(counted_auroc(positive, negative), abs=1e-12)
    assert auroc(negative, positive) == pytest.approx(1 - auroc(positive, negative), abs=1e-12)


@given(SCORES, SCORES)
def test_no_cut_is_better_than_the_threshold(positive: np.ndarray, negative: np.ndarray):
    found = separate(positive, negative)
    assert found.accuracy == pytest.approx(accuracy(positive, negative, found.threshold))
    best = max(accuracy(positive, negative, cut) for cut in np.arange(-4.5, 5))
    if best > 0.5 + 1e-9:
        assert found.accuracy == pytest.approx(best)
    else:
        assert found.threshold == pytest.approx(found.middle)


def test_the_threshold_of_sides_far_apart_is_the_nearest_gap_to_the_middle():
    positive, negative = np.array([3.0, 5.0, 9.0]), np.array([-5.0, 1.0])
    assert best_threshold(positive, negative) == 2
    assert best_threshold(np.array([4.0, 6.0]), np.array([0.0, 5.0])) in (2, 5.5)  # as good; the middle is 3.75
    assert best_threshold(np.array([4.0, 6.0]), np.array([1.0, 5.0])) == 2.5  # the middle is 4


def test_the_threshold_chosen_before_is_the_one_that_counts():
    found = separate(np.array([1.0, 3.0]), np.array([0.0, 2.0]), threshold=2.5, paired=True)
    assert (found.threshold, found.accuracy, found.auroc, found.pairs_right) == (2.5, 0.75, 0.75, 1.0)
    assert (found.positive_mean, found.negative_mean, found.middle) == (2, 1, 1.5)
    assert (found.positive_count, found.negative_count) == (2, 2)


def test_a_larger_side_does_not_win():
    found = separate(np.array([2.0]), np.array([0.0, 0.0, 0.0, 4.0]))
    assert found.accuracy == pytest.approx((1 + 3 / 4) / 2)


def test_d_prime_is_the_distance_in_standard_deviations():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(3, 2, 100_000), rng.normal(0, 1, 100_000)
    assert d_prime(positive, negative) == pytest.approx(3 / np.sqrt((4 + 1) / 2), rel=0.02)
    assert d_prime(np.array([1.0]), np.array([0.0, 2.0])) is None
    assert d_prime(np.array([1.0, 1.0]), np.array([0.0, 0.0])) is None


def test_scores_that_are_all_alike_are_chance():
    found = separate(np.zeros(3), np.zeros(2))
    assert (found.auroc, found.accuracy, found.threshold, found.d_prime) == (0.5, 0.5, 0, None)


def test_one_side_alone_is_refused():
    with pytest.raises(InvalidInputError, match="one side has no texts; give texts of both sides, or pairs"):
        separate(np.ones(2), np.zeros(0))

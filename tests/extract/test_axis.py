"""The principal axis, its sign, and its cosine with the mean."""

from __future__ import annotations

import numpy as np
import pytest

from vectorstore.errors import InvalidInputError
from vectorstore.extract.axis import COSINE_TO_MEAN, beside_mean, centred, principal_axis, towards


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (7, 7), (1, 9), (9, 1)])
def test_the_axis_is_the_first_right_singular_vector_whichever_side_is_smaller(shape: tuple[int, int]):
    rows = np.random.default_rng(1).standard_normal(shape)
    expected = np.linalg.svd(rows)[2][0]
    axis = principal_axis(rows)
    np.testing.assert_allclose(abs(axis @ expected), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(axis), 1, rtol=0, atol=1e-14)


def test_rows_of_zeros_have_no_axis():
    assert not principal_axis(np.zeros((3, 5))).any()
    assert not principal_axis(np.zeros((5, 3))).any()


def test_most_rows_decide_which_way_it_points():
    axis = np.array([1.0, 0.0])
    one_long_row = np.array([[-9.0, 1.0], [1.0, 2.0], [1.0, 0.0]])
    assert (towards(axis, one_long_row) == axis).all()
    assert (towards(-axis, one_long_row) == axis).all()


def test_where_rows_are_at_odds_their_sum_decides_and_then_the_longest_part():
    axis = np.array([0.6, -0.8])
    assert (towards(axis, np.array([[-3.0, 0.0], [1.0, 0.0]])) == -axis).all()
    assert (towards(-axis, np.array([[-3.0, 0.0], [1.0, 0.0]])) == -axis).all()
    for either in (axis, -axis):
        assert (towards(either, np.array([[1.0, 0.0], [-1.0, 0.0]])) == [-0.6, 0.8]).all()


def test_rows_that_are_alike_have_nothing_left_without_their_mean():
    with pytest.raises(InvalidInputError, match=r"pca_diff .*of 1 pairs, and nothing is left.*mean_difference"):
        centred(np.ones((1, 3)), "pca_diff")
    with pytest.raises(InvalidInputError, match="of 3 pairs"):
        centred(np.full((3, 3), 0.1) + np.eye(3) * 1e-9, "pca_diff")
    np.testing.assert_array_equal(centred(np.array([[1.0], [3.0]]), "pca_diff"), [[-1.0], [1.0]])


def test_the_cosine_with_the_mean_is_kept():
    rows = np.array([[3.0, 0.0], [3.0, 8.0]])
    assert beside_mean(np.array([1.0, 0.0]), rows).figures == {COSINE_TO_MEAN: pytest.approx(0.6)}
    assert beside_mean(np.array([1.0, 0.0]), rows - rows.mean(axis=0)).figures == {COSINE_TO_MEAN: 0.0}

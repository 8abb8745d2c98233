"""Values in blocks: the same answers as in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden import DTYPES
from vectorstore.values import BLOCK, block_norm, is_finite
from vectorstore.vector import direction_norm

SHAPES = [(1,), (4,), (3, 1), (2, 7), (BLOCK - 1,), (BLOCK + 1,), (3, BLOCK + 5), (BLOCK + 1, 1), (BLOCK // 8 + 3, 16)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_is_that_of_the_whole(dtype: str, shape: tuple[int, ...]):
    direction = np.random.default_rng(0).standard_normal(shape).astype(DTYPES[dtype])
    assert block_norm(direction) == pytest.approx(direction_norm(direction), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_is_found_wherever_it_is(dtype: str, shape: tuple[int, ...], value: float):
    array = np.zeros(shape, DTYPES[dtype])
    assert is_finite(array)
    for position in (0, array.size // 2, array.size - 1):
        other = array.copy()
        other.reshape(-1)[position] = value
        assert not is_finite(other)


@settings(deadline=None)
@given(st.sampled_from(sorted(DTYPES)), st.binary(min_size=8, max_size=64))
def test_any_bits_are_numbers_where_numpy_says_so(dtype: str, data: bytes):
    array = np.frombuffer(data[: len(data) // 8 * 8], DTYPES[dtype])
    with np.errstate(invalid="ignore"):  # signaling NaN
        wide = array.astype(np.float64)
    assert is_finite(array) == bool(np.isfinite(wide).all())
    assert np.isnan(block_norm(array)) == bool(np.isnan(wide).any())


def test_a_norm_above_all_floats_is_infinite_and_one_of_nan_is_nan():
    assert block_norm(np.full(4, 1e200)) == np.inf
    assert np.isnan(block_norm(np.array([1.0, np.nan])))

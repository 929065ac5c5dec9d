"""Arrays are compared, and differences are named."""

import numpy as np
import pytest

from minicaffe.testing import assert_close, assert_same


@pytest.mark.parametrize("got, expected, tolerance", [
    ([1, 2], [1, 2], 0),
    ([1.0009, 100], [1, 100], 1e-5),  # relative to the largest
    ([np.nan, np.inf, 1], [np.nan, np.inf, 1], 0),
    ([], [], 0),
    (3, 3.00001, 1e-5),
    ([1e-9], [0], 1e-5),
])
def test_close_arrays_pass(got, expected, tolerance):
    assert_close(got, expected, tolerance, "x")


@pytest.mark.parametrize("got, expected, tolerance, message", [
    ([1, 2, 5], [1, 2, 3], 0, "x at (2): expected 3, got 5, tolerance 0; 1 of 3 elements differ"),
    ([[1, 2]], [[1.1, 2.5]], 1e-2,
     "x at (0, 1): expected 2.5, got 2, tolerance 0.025; 2 of 2 elements differ"),
    (np.zeros((2, 1)), np.zeros(2), 1, "x: expected shape (2,), got (2, 1)"),
    ([np.nan], [1], 1, "x at (0): expected 1, got nan, tolerance 1; 1 of 1 elements differ"),
    ([1], [np.nan], 1, "x at (0): expected nan, got 1, tolerance 0.001; 1 of 1 elements differ"),
    ([1, 3], [np.inf, 3], 1,
     "x at (0): expected inf, got 1, tolerance 3; 1 of 2 elements differ"),
    (4, 3, 0, "x at (): expected 3, got 4, tolerance 0; 1 of 1 elements differ"),
])
def test_a_difference_is_named(got, expected, tolerance, message):
    with pytest.raises(AssertionError) as caught:
        assert_close(got, expected, tolerance, "x")
    assert str(caught.value) == message


def test_the_same_is_equal_to_the_last_bit():
    assert_same([1, np.nan], [1, np.nan], "x")
    with pytest.raises(AssertionError, match="tolerance 0"):
        assert_same([1 + 1e-15], [1], "x")

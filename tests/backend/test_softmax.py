"""Softmax where rows are long, short, or hold what is no number."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend import get_backend

SHAPES = [(5, 1000, 1), (7, 33, 1), (4, 1, 1), (2, 3, 1100), (3, 5, 512), (2, 1, 7), (40, 9, 2)]


def softmax(x, in_place=False):
    y = x.copy() if in_place else numpy.full_like(x, 7)
    get_backend("cpu").softmax(y if in_place else x, y)
    return y


def expected(x):
    y = numpy.zeros(x.shape)
    with numpy.errstate(invalid="ignore"):
        get_backend("numpy").softmax(x.astype(float), y)
    return y


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """They all work, however little there is to do."""
    get_backend("cpu")
    monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", 0)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_of_rows_of_any_length(shape, in_place):
    x = 8 * numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
    numpy.testing.assert_allclose(softmax(x, in_place), expected(x), rtol=5e-6, atol=1e-30)


@pytest.mark.parametrize("shape", [(4, 40, 1), (4, 40, 3)])
@pytest.mark.parametrize("value", [numpy.nan, -numpy.nan, numpy.inf, -numpy.inf])
def test_softmax_of_a_row_with_what_is_no_number_is_what_numpy_gives(shape, value):
    for place in (0, 7, 39):
        x = numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
        x[1, place, 0] = value
        x[2] = value
        numpy.testing.assert_allclose(softmax(x), expected(x), rtol=2e-6)


def test_the_largest_element_is_found_among_negative_ones_and_zeros():
    for row in ([-3, -2, -300], [0.0, -0.0, -1], [-200, -0.0, 0.0], [-3e38, -1e-45, 3e38]):
        x = numpy.array(row, numpy.float32).reshape(1, 3, 1)
        numpy.testing.assert_allclose(softmax(x), expected(x), rtol=1e-6, atol=1e-40)


def test_softmax_takes_exponents_relative_to_the_largest_of_a_row():
    x = numpy.array([[1000, 999], [-1000, -1001]], numpy.float32).reshape(2, 2, 1)
    numpy.testing.assert_allclose(softmax(x)[:, 1, 0], 1 / (1 + numpy.e), rtol=1e-6)

"""BNLL agrees with its definition."""

from math import exp, log

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_is_the_logarithm_of_1_plus_the_exponential(shape):
    check_layer('type: "BNLL"', {"x": 2 * numbers(*shape)},
                np.vectorize(lambda v: log(1 + exp(v))))


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_of_any_size_overflow_nowhere(device, top):
    net = OneLayerNet(f'type: "BNLL" bottom: "x" top: "{top}"',
                      {"x": [-np.inf, -1000, 0, 1000, np.inf]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [0, 0, log(2), 1000, np.inf], 1e-9, "y")
        assert_close(net.backward([[4] * 5])[0], [0, 0, 2, 4, 4], 1e-6, "dx")


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_small_values_keep_their_digits(device, top):
    net = OneLayerNet(f'type: "BNLL" bottom: "x" top: "{top}"', {"x": [-20]}, device=device)
    assert_close(net.forward()[0] * 1e9, [exp(-20) * 1e9], 1e-6, "y")
    assert_close(net.backward([[1e9]])[0], [exp(-20) * 1e9], 1e-6, "dx")

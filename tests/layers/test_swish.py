"""Swish agrees with its definition."""

from math import exp

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers


def swish(x, beta):
    return np.vectorize(lambda v: v / (1 + exp(-beta * v)))(x)


@pytest.mark.parametrize("beta", [0, 1.5, -0.5])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_is_the_bottom_times_its_sigmoid(shape, beta):
    check_layer(f'type: "Swish" swish_param {{ beta: {beta} }}', {"x": numbers(*shape)},
                lambda x: swish(x, beta))


def test_beta_is_1_unless_the_net_says_otherwise():
    check_layer('type: "Swish"', {"x": numbers(3, 4)}, lambda x: swish(x, 1))


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_of_any_size_overflow_nowhere(device, top):
    net = OneLayerNet(f'type: "Swish" bottom: "x" top: "{top}"', {"x": [-1000, 0, 1000]},
                      device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [0, 0, 1000], 0, "y")
        assert_close(net.backward([[2] * 3])[0], [0, 1, 2], 0, "dx")

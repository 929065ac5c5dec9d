"""TanH agrees with its definition."""

from math import exp

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers


def tangent(x):
    return np.vectorize(lambda v: (exp(v) - exp(-v)) / (exp(v) + exp(-v)))(x)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_is_the_hyperbolic_tangent(shape):
    check_layer('type: "TanH"', {"x": numbers(*shape)}, tangent)


@pytest.mark.parametrize("engine", ["CAFFE", "CUDNN"])
def test_an_engine_changes_nothing(engine):
    check_layer(f'type: "TanH" tanh_param {{ engine: {engine} }}', {"x": numbers(2, 3)}, tangent)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_of_any_size_overflow_nowhere(device):
    net = OneLayerNet('type: "TanH"', {"x": [-np.inf, -1000, 0, 1000, np.inf]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [-1, -1, 0, 1, 1], 0, "y")
        assert_close(net.backward([[2] * 5])[0], [0, 0, 2, 0, 0], 0, "dx")

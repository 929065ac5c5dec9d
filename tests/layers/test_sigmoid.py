"""Sigmoid agrees with its definition."""

from math import exp

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers


def sigmoid(x):
    return np.vectorize(lambda v: 1 / (1 + exp(-v)))(x)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_is_the_logistic_function(shape):
    check_layer('type: "Sigmoid"', {"x": 2 * numbers(*shape)}, sigmoid)


@pytest.mark.parametrize("engine", ["CAFFE", "CUDNN"])
def test_an_engine_changes_nothing(engine):
    check_layer(f'type: "Sigmoid" sigmoid_param {{ engine: {engine} }}', {"x": numbers(2, 3)},
                sigmoid)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_of_any_size_overflow_nowhere(device):
    net = OneLayerNet('type: "Sigmoid"', {"x": [-np.inf, -1000, 0, 1000, np.inf]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [0, 0, 0.5, 1, 1], 0, "y")
        assert_close(net.backward([[8] * 5])[0], [0, 0, 2, 0, 0], 0, "dx")


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_small_probabilities_keep_their_digits(device):
    net = OneLayerNet('type: "Sigmoid"', {"x": [-20]}, device=device)
    assert_close(net.forward()[0] * 1e9, [exp(-20) * 1e9], 1e-6, "y")

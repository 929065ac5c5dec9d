"""ELU agrees with its definition."""

from math import exp

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers, refusal


def layer(alpha, more=""):
    return f'type: "ELU" elu_param {{ alpha: {alpha} }} {more}'


def elu(x, alpha):
    return np.vectorize(lambda v: v if v > 0 else alpha * (exp(v) - 1))(x)


@pytest.mark.parametrize("alpha", [0, 0.25, 2])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_negative_elements_bend_towards_minus_alpha(shape, alpha):
    check_layer(layer(alpha), {"x": numbers(*shape)}, lambda x: elu(x, alpha))


def test_alpha_is_1_unless_the_net_says_otherwise():
    check_layer('type: "ELU"', {"x": numbers(3, 4)}, lambda x: elu(x, 1))


def test_an_alpha_below_0_is_fine_out_of_place():
    check_layer(layer(-0.5), {"x": numbers(3, 4)}, lambda x: elu(x, -0.5))


def test_an_alpha_below_0_is_refused_in_place():
    assert refusal(layer(-0.5, 'bottom: "x" top: "x"'), {"x": [1, 2]}) == (
        "ParameterError: ELU 'l': expected alpha of 0 or more in place, got -0.5. "
        "Hint: give the top a name of its own.")


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_of_any_size_overflow_nowhere(device, top):
    net = OneLayerNet(layer(2, f'bottom: "x" top: "{top}"'),
                      {"x": [-np.inf, -1000, 0, 1000, np.inf]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [-2, -2, 0, 1000, np.inf], 0, "y")
        assert_close(net.backward([[3] * 5])[0], [0, 0, 6, 3, 3], 0, "dx")

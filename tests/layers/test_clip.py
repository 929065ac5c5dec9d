"""Clip agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal


def layer(low, high, more=""):
    return f'type: "Clip" clip_param {{ min: {low} max: {high} }} {more}'


def clipped(x, low, high):
    return np.vectorize(lambda v: low if v < low else high if v > high else v)(x)


@pytest.mark.parametrize("low, high", [(-0.5, 0.75), (0, 6), (0.25, 0.25)])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_elements_are_limited_to_the_range(shape, low, high):
    check_layer(layer(low, high), {"x": numbers(*shape)}, lambda x: clipped(x, low, high),
                kinks=low == high)


@pytest.mark.parametrize("top, dx", [("y", [0, 0, 3, 3, 3, 0, 0]),
                                     ("x", [0, 0, 0, 3, 0, 0, 0])])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_edges_have_the_slope_of_the_inside_but_in_place(device, top, dx):
    net = OneLayerNet(layer(-1, 2, f'bottom: "x" top: "{top}"'),
                      {"x": [-np.inf, -1.5, -1, 0.5, 2, 2.5, np.inf]}, device=device)
    assert_same(net.forward()[0], [-1, -1, -1, 0.5, 2, 2, 2], "y")
    assert_same(net.backward([[3] * 7])[0], dx, "dx")


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_what_is_not_a_number_stays_so(device):
    assert_same(OneLayerNet(layer(-1, 1), {"x": [np.nan]}, device=device).forward()[0], [np.nan],
                "y")


@pytest.mark.parametrize("low, high", [(-1, 1), (0, 0)])
def test_an_infinite_diff_is_stopped_outside(low, high):
    net = OneLayerNet(layer(low, high), {"x": [2]})
    net.forward()
    assert_same(net.backward([[np.inf]])[0], [0], "dx")


@pytest.mark.parametrize("param, error", [
    ("", "ParameterError: Clip 'l': clip_param { min max }, both required."),
    ("clip_param { min: 1 }", "ParseError: layer:1:25: ClipParameter needs 'max'."),
    ("clip_param { max: 1 }", "ParseError: layer:1:25: ClipParameter needs 'min'."),
])
def test_both_limits_are_required(param, error):
    assert refusal(f'type: "Clip" {param}', {"x": [1]}) == error


def test_a_min_above_max_is_refused():
    assert refusal(layer(2, 1), {"x": [1]}) == (
        "ParameterError: Clip 'l': expected a min that is no more than max, "
        "got min 2.0 and max 1.0.")

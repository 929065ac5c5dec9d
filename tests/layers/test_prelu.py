"""PReLU agrees with its definition."""

import numpy as np
import pytest

import minicaffe
from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal, repeated

SHARED = 'type: "PReLU" prelu_param { channel_shared: true }'


def rectified(x, slope):
    slope = repeated(slope, 1 if np.ndim(slope) else 0, x.shape)
    y = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        y[index] = x[index] if x[index] > 0 else slope[index] * x[index]
    return y


@pytest.mark.parametrize("text", ['type: "PReLU"', SHARED])
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (4, 3), (2, 1, 5)])
def test_negative_elements_are_scaled_by_the_slope_of_their_channel(shape, text):
    check_layer(text, {"x": numbers(*shape)}, rectified)  # also in place, with slopes below 0


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_slope_at_0_is_that_of_the_negative_side(device):
    net = OneLayerNet('type: "PReLU"', {"x": [[-2], [0], [3]]}, params=[[0.5]], device=device)
    assert_same(net.forward()[0], [[-1], [0], [3]], "y")
    dx, slope = net.backward([[[2], [2], [2]]])
    assert_same(dx, [[1], [1], [2]], "dx")
    assert_same(slope, [-4], "da")


@pytest.mark.parametrize("shared, shape", [("", (3,)), ("channel_shared: true", ())])
@pytest.mark.parametrize("filler, expected", [("", 0.25), ("filler { value: 2 }", 2)])
def test_slopes_start_from_the_filler_or_a_quarter(make_net, shared, shape, filler, expected):
    net = make_net('layer { name: "x" type: "Input" top: "x" '
                   'input_param { shape { dim: 2 dim: 3 } } }'
                   f'layer {{ name: "p" type: "PReLU" bottom: "x" top: "y" '
                   f'prelu_param {{ {shared} {filler} }} }}')
    assert_same(net.params["p"][0].data, np.full(shape, expected), "a")


def test_a_bottom_without_channels_is_refused():
    assert refusal('type: "PReLU"', {"x": np.zeros(3)}) == (
        "ShapeError: PReLU 'l': expected a bottom of 2 or more axes, got (3,).")


def test_other_channels_than_the_slopes_are_refused():
    net = OneLayerNet('type: "PReLU"', {"x": np.zeros((2, 3))})
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape({"x": np.zeros((2, 4))})
    assert str(caught.value) == ("PReLU 'l': expected (3,) channels, as when its slopes were made, "
                                 "got (2, 4).")

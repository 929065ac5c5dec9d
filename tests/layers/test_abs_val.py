"""AbsVal agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_minus_signs_are_dropped(shape):
    check_layer('type: "AbsVal"', {"x": numbers(*shape)},
                np.vectorize(lambda v: v if v > 0 else -v))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_slope_at_0_is_0(device):
    net = OneLayerNet('type: "AbsVal"', {"x": [-np.inf, -2, -0.0, 0, 3]}, device=device)
    assert_same(net.forward()[0], [np.inf, 2, 0, 0, 3], "y")
    assert_same(net.backward([[5] * 5])[0], [-5, -5, 0, 0, 5], "dx")


def test_in_place_is_refused():
    assert refusal('type: "AbsVal" bottom: "x" top: "x"', {"x": [1, 2]}) == (
        "NetError: AbsVal 'l': expected another name for its top, as it does not work in place, "
        "got 'x' for bottom and top. Hint: a layer of your own that does says so: "
        "in_place = True in its class.")

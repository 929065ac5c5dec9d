"""ReLU agrees with its definition."""

import numpy as np
import pytest

from minicaffe.errors import NetError, ParameterError
from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers


def rectified(x, slope):
    y = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        y[index] = x[index] if x[index] > 0 else slope * x[index]
    return y


@pytest.mark.parametrize("slope", [0, 0.25])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_negative_elements_are_scaled_by_the_slope(shape, slope):
    check_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', {"x": numbers(*shape)},
                lambda x: rectified(x, slope))


def test_a_negative_slope_below_0_is_fine_out_of_place():
    check_layer('type: "ReLU" relu_param { negative_slope: -1 }', {"x": numbers(3, 4)}, np.abs)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_slope_at_0_is_that_of_the_negative_side(device):
    net = OneLayerNet('type: "ReLU" relu_param { negative_slope: 0.5 }', {"x": [-2, 0, 3]},
                      device=device)
    assert_same(net.forward()[0], [-1, 0, 3], "y")
    assert_same(net.backward([[2, 2, 2]])[0], [1, 1, 2], "dx")


def test_a_negative_slope_below_0_is_refused_in_place(make_net):
    with pytest.raises(ParameterError, match="ReLU 'r': expected negative_slope of 0 or more in "
                                             "place, got -0.5. Hint: give the top a name of its"):
        make_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
                 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" '
                 'relu_param { negative_slope: -0.5 } }')


def test_a_layer_that_does_not_say_in_place_is_refused_there(make_net):
    with pytest.raises(NetError, match="InnerProduct 'ip': expected another name for its top, as "
                                       "it does not work in place, got 'x' for bottom and top"):
        make_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
                 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "x" '
                 'inner_product_param { num_output: 2 } }')

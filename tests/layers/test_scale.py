"""Scale agrees with its definition, along any axes, in place and not."""

import numpy as np
import pytest

import minicaffe
from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal, repeated

# name: fields, shape of x, first axis of the operand, its shape
CASES = {
    "channels": ("", (4, 3, 2, 5), 1, (3,)),
    "of a matrix": ("", (4, 3), 1, (3,)),
    "two axes": ("num_axes: 2", (4, 3, 2, 5), 1, (3, 2)),
    "all axes behind": ("axis: 1 num_axes: -1", (4, 3, 5), 1, (3, 5)),
    "counted from the end": ("axis: -2", (4, 3, 5), 1, (3,)),
    "the last axis": ("axis: 2", (4, 3, 5), 2, (5,)),
    "one number": ("num_axes: 0", (4, 3, 5), 0, ()),
    "one number for one axis": ("num_axes: 0", (6,), 0, ()),
    "one channel": ("", (4, 1, 5), 1, (1,)),
}


def layer(fields="", bias=True, more=""):
    return (f'type: "Scale" {more} '
            f'scale_param {{ bias_term: {str(bias).lower()} {fields} }}')


def scaled(axis):
    """The formula for operands with the axes from ``axis`` on."""
    def formula(x, w, b=None):
        y = repeated(w, axis, x.shape) * x
        return y if b is None else y + repeated(b, axis, x.shape)
    return formula


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_elements_are_scaled_and_shifted(name, bias):
    fields, shape, axis, operand = CASES[name]
    check_layer(layer(fields, bias), {"x": numbers(*shape)}, scaled(axis))
    net = OneLayerNet(layer(fields, bias), {"x": numbers(*shape)})
    assert [blob.shape for blob in net.params] == [operand] * (1 + bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fields, shape, axis, operand", [
    ("", (4, 3, 2), 1, (3,)), ("axis: 1", (4, 3, 2), 1, (3, 2)), ("axis: -1", (4, 3, 2), 2, (2,)),
    ("", (4, 3), 0, ())])
def test_the_factors_may_be_a_second_bottom(fields, shape, axis, operand, bias):
    check_layer(layer(fields, bias), {"x": numbers(*shape), "w": numbers(*operand, seed=1)},
                scaled(axis))


@pytest.mark.parametrize("bias", [True, False])
def test_an_operand_with_the_axis_of_the_samples(bias):
    check_layer(layer("axis: 0", bias), {"x": numbers(4, 3)}, scaled(0), reshape=False)
    check_layer(layer("axis: 0", bias), {"x": numbers(4, 3), "w": numbers(4, 3, seed=1)}, scaled(0),
                reshape=False)


def test_it_starts_as_the_identity(make_net):
    net = make_net('layer { name: "x" type: "Input" top: "x" '
                   'input_param { shape { dim: 2 dim: 3 } } }'
                   'layer { name: "s" bottom: "x" top: "y" ' + layer() + ' }')
    assert_same(net.params["s"][0].data, [1, 1, 1], "w")
    assert_same(net.params["s"][1].data, [0, 0, 0], "b")


def test_fillers_choose_other_values(make_net):
    fields = "filler { value: 3 } bias_filler { value: -1 }"
    net = make_net('layer { name: "x" type: "Input" top: "x" '
                   'input_param { shape { dim: 2 dim: 3 } } }'
                   'layer { name: "s" bottom: "x" top: "y" ' + layer(fields) + ' }')
    assert_same(net.params["s"][0].data, [3, 3, 3], "w")
    assert_same(net.params["s"][1].data, [-1, -1, -1], "b")


CHAIN = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 2 dim: 5 } } }
layer { name: "norm" type: "BatchNorm" bottom: "x" top: "%s" }
layer { name: "scale" type: "Scale" bottom: "%s" top: "%s" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "%s" top: "%s" }
layer { name: "bias" type: "Bias" bottom: "%s" top: "%s" }
layer { name: "relu" type: "ReLU" bottom: "%s" top: "%s" relu_param { negative_slope: 0.5 } }
"""


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_a_chain_in_place_has_the_gradients_of_one_that_is_not(device):
    """Each layer of it writes over what the one before would read in backward."""
    results = []
    for names in ("xxxxxxxxx", "aabbccdde"):
        net = minicaffe.Net(minicaffe.proto.text.parse_text(
            "force_backward: true" + CHAIN % tuple(names), minicaffe.proto.NetParameter),
            minicaffe.TRAIN, device=device)
        for i, blob in enumerate(blob for blobs in net.params.values() for blob in blobs):
            blob.data[...] = numbers(*blob.shape, seed=i)
        net.params["prelu"][0].data[...] = [0.5, -0.5, 2]
        net.blobs["x"].data[...] = numbers(4, 3, 2, 5)
        net.forward()
        top = list(net.blobs)[-1]
        y = net.blobs[top].data.copy()
        net.blobs[top].diff[...] = numbers(4, 3, 2, 5, seed=1)
        net.backward()
        results.append([y, net.blobs["x"].diff.copy(), *(
            blob.diff.copy() for blobs in net.params.values() for blob in blobs)])
    for got, expected in zip(*results, strict=True):
        if device == "cpu":  # which runs BatchNorm and Scale as one there
            assert_close(got, expected, 1e-6, "in place")
        else:
            assert_same(got, expected, "in place")
        assert device != "numpy" or np.isfinite(got).all()
    assert abs(results[0][1]).max() > 0.1


X = {"x": np.zeros((4, 3, 5))}


@pytest.mark.parametrize("fields, inputs, expected", [
    ("num_axes: -2", X, "ParameterError: Scale 'l': expected num_axes of 0 or more, or -1 for all, "
     "got -2."),
    ("num_axes: 3", X, "ShapeError: Scale 'l': expected a bottom with 4 axes or more, for axis 1 "
     "and num_axes 3, got (4, 3, 5)."),
    ("axis: 3", X, "ShapeError: Scale 'l': expected a bottom with an axis 3, got (4, 3, 5)."),
    ("", {**X, "w": np.zeros(4)}, "ShapeError: Scale 'l': expected a bottom with the axes (4,) "
     "from axis 1 on, got (4, 3, 5)."),
    ("axis: 2", {**X, "w": np.zeros((5, 1))}, "ShapeError: Scale 'l': expected a bottom with the "
     "axes (5, 1) from axis 2 on, got (4, 3, 5)."),
])
def test_errors_say_what_was_expected(fields, inputs, expected):
    assert refusal(layer(fields), inputs) == expected


def test_a_bottom_that_no_longer_fits_is_refused():
    net = OneLayerNet(layer(), X)
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape({"x": np.zeros((4, 2, 5))})
    assert str(caught.value) == ("Scale 'l': expected a bottom with the axes (3,) from axis 1 on, "
                                 "got (4, 2, 5).")

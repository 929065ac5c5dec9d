"""InnerProduct agrees with its definition."""

import numpy as np
import pytest

import minicaffe
from minicaffe.testing import OneLayerNet, check_layer

from .naive import numbers, refusal


def layer(fields):
    return f'type: "InnerProduct" inner_product_param {{ {fields} }}'


def weighted_sums(x, w, b):
    """x (M, K), w (O, K), b (O,) or None -> (M, O)."""
    y = np.zeros((len(x), len(w)))
    for m, o in np.ndindex(*y.shape):
        y[m, o] = (0 if b is None else b[o]) + sum(w[o, k] * x[m, k] for k in range(x.shape[1]))
    return y


def test_every_output_is_a_weighted_sum_of_its_sample():
    check_layer(layer("num_output: 4"), {"x": numbers(3, 2, 1, 5)},
                lambda x, w, b: weighted_sums(x.reshape(3, 10), w, b))


def test_without_a_bias():
    check_layer(layer("num_output: 4 bias_term: false"), {"x": numbers(3, 7)},
                lambda x, w: weighted_sums(x, w, None))


@pytest.mark.parametrize("axis", [2, -2])
def test_axes_before_axis_count_the_samples(axis):
    check_layer(layer(f"num_output: 4 axis: {axis}"), {"x": numbers(2, 3, 2, 5)},
                lambda x, w, b: weighted_sums(x.reshape(6, 10), w, b).reshape(2, 3, 4))


def test_axis_0_is_one_sample():
    check_layer(layer("num_output: 4 axis: 0"), {"x": numbers(6)},
                lambda x, w, b: weighted_sums(x.reshape(1, 6), w, b).reshape(4), reshape=False)


@pytest.mark.parametrize("bias", [True, False])
def test_transposed_weights_are_inputs_by_outputs(bias):
    text = layer(f"num_output: 4 transpose: true bias_term: {str(bias).lower()}")
    check_layer(text, {"x": numbers(3, 2, 5)},
                lambda x, w, b=None: weighted_sums(x.reshape(3, 10), w.T, b))
    assert OneLayerNet(text, {"x": numbers(3, 2, 5)}).params[0].shape == (10, 4)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_parameter_gets_no_diff(device, frozen):
    net = OneLayerNet(layer("num_output: 4"), {"x": numbers(3, 5)}, device=device)
    net.layer.param_propagate_down[frozen] = False
    net.forward()
    dw_and_db = net.backward(net.top_weights())[1:]
    assert not dw_and_db[frozen].any() and dw_and_db[1 - frozen].all()


@pytest.mark.parametrize("shape, fields, expected", [
    ((3, 5), "", "ParameterError: InnerProduct 'l': expected num_output of 1 or more, got 0."),
    ((8,), "num_output: 2", "ShapeError: InnerProduct 'l': expected a bottom of 2 or more axes, "
     "got (8,). Hint: the first axis counts the samples."),
    ((3, 5), "num_output: 2 axis: 2", "ShapeError: InnerProduct 'l': expected a bottom with an "
     "axis 2, got (3, 5)."),
])
def test_errors_say_what_was_expected(shape, fields, expected):
    assert refusal(layer(fields), {"x": np.zeros(shape)}) == expected


def test_a_bottom_that_no_longer_fits_the_weights_is_refused():
    net = OneLayerNet(layer("num_output: 2"), {"x": np.zeros((3, 5))})
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape({"x": np.zeros((3, 6))})
    assert str(caught.value) == ("InnerProduct 'l': expected 5 inputs a sample, as when its "
                                 "weights were made, got (3, 6).")

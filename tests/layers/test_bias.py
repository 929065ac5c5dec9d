"""Bias agrees with its definition, along any axes."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal, repeated


@pytest.mark.parametrize("fields, shape, axis", [
    ("", (4, 3, 2, 5), 1), ("", (4, 3), 1), ("num_axes: 2", (4, 3, 2), 1),
    ("axis: -1", (4, 3, 2), 2), ("num_axes: 0", (4, 3), 0), ("num_axes: -1", (4, 3, 2), 1)])
def test_one_number_is_added_to_each_channel(fields, shape, axis):
    check_layer(f'type: "Bias" bias_param {{ {fields} }}', {"x": numbers(*shape)},
                lambda x, b: x + repeated(b, axis, shape))


@pytest.mark.parametrize("operand", [(3,), (3, 2), ()])
def test_the_numbers_may_be_a_second_bottom(operand):
    check_layer('type: "Bias"', {"x": numbers(4, 3, 2), "b": numbers(*operand, seed=1)},
                lambda x, b: x + repeated(b, 1 if operand else 0, x.shape))


@pytest.mark.parametrize("filler, expected", [("", 0), ("filler { value: 2 }", 2)])
def test_it_starts_from_the_filler_or_0(make_net, filler, expected):
    net = make_net('layer { name: "x" type: "Input" top: "x" '
                   'input_param { shape { dim: 2 dim: 3 } } }'
                   f'layer {{ name: "b" type: "Bias" bottom: "x" top: "y" '
                   f'bias_param {{ {filler} }} }}')
    assert_same(net.params["b"][0].data, [expected] * 3, "b")


def test_in_place_it_keeps_no_copy():
    net = OneLayerNet('type: "Bias" top: "x"', {"x": numbers(2, 3)})
    net.forward()
    assert net.layer.saved is None


def test_errors_name_the_layer():
    assert refusal('type: "Bias" bias_param { num_axes: -3 }', {"x": np.zeros((2, 3))}) == (
        "ParameterError: Bias 'l': expected num_axes of 0 or more, or -1 for all, got -3.")

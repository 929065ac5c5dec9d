"""Softmax agrees with its definition."""

from math import exp

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers, refusal


def probabilities(x, axis):
    y = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        others = [x[(*index[:axis], c, *index[axis + 1:])] for c in range(x.shape[axis])]
        y[index] = exp(x[index]) / sum(exp(other) for other in others)
    return y


def layer(axis):
    return f'type: "Softmax" softmax_param {{ axis: {axis} }}'


@pytest.mark.parametrize("shape, axis", [((3, 5), 1), ((2, 3, 4), 1), ((2, 3, 4), 2),
                                         ((2, 3, 4), -1), ((2, 4, 3, 2), 1), ((3, 1), 1)])
def test_scores_become_probabilities(shape, axis):
    check_layer(layer(axis), {"x": numbers(*shape)},
                lambda x: probabilities(x, axis % len(shape)))


def test_axis_0_compares_across_the_batch():
    check_layer(layer(0), {"x": numbers(4, 3)}, lambda x: probabilities(x, 0))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_scores_of_any_size_overflow_nowhere(device):
    net = OneLayerNet(layer(1), {"x": [[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]]}, device=device)
    y, = net.forward()
    assert_close(y, [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], 1e-6, "y")
    dx, = net.backward([[[1, 0, 0], [1, 0, 0]]])
    assert_close(dx, [[0.25, -0.25, 0], [2 / 9, -1 / 9, -1 / 9]], 1e-6, "dx")


def test_an_axis_that_is_not_there_is_refused():
    assert refusal(layer(2), {"x": numbers(3, 4)}) == (
        "ShapeError: Softmax 'l': expected a bottom with an axis 2, got (3, 4).")

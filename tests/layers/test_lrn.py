"""LRN agrees with its definition, across channels and within one."""

from itertools import product

import numpy as np
import pytest

from minicaffe.errors import NetError
from minicaffe.testing import OneLayerNet, check_layer

from .naive import numbers, refusal

WITHIN = "norm_region: WITHIN_CHANNEL"


def layer(fields):
    return f'type: "LRN" lrn_param {{ {fields} }}'


def divided(x, size, alpha, beta, k, axes):
    """x / (k + alpha / n * the sum of squares around it) ^ beta."""
    y = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        total = 0.0
        for steps in product(range(-(size // 2), size // 2 + 1), repeat=len(axes)):
            place = np.array(index)
            place[list(axes)] += steps
            if (place >= 0).all() and (place < x.shape).all():
                total += x[tuple(place)] ** 2
        y[index] = x[index] / (k + alpha / size ** len(axes) * total) ** beta
    return y


@pytest.mark.parametrize("fields, numbers_of_it, shape", [
    ("", (5, 1, 0.75, 1), (2, 6, 3, 4)),
    ("local_size: 3 alpha: 0.3 beta: 0.5 k: 2", (3, 0.3, 0.5, 2), (2, 4, 3, 2)),
    ("local_size: 7 alpha: 2 beta: 1.5", (7, 2, 1.5, 1), (3, 2, 2, 3)),
    ("local_size: 1 k: 0.5", (1, 1, 0.75, 0.5), (2, 3, 1, 4)),
])
def test_across_channels(fields, numbers_of_it, shape):
    check_layer(layer(fields), {"x": numbers(*shape)},
                lambda x: divided(x, *numbers_of_it, axes=(1,)))


@pytest.mark.parametrize("fields, numbers_of_it, shape", [
    ("local_size: 3 alpha: 0.5", (3, 0.5, 0.75), (2, 3, 5, 4)),
    ("", (5, 1, 0.75), (2, 1, 3, 6)),
    ("local_size: 3 alpha: 2 beta: 0.3 k: 9", (3, 2, 0.3), (1, 2, 1, 5)),
])
def test_within_a_channel_where_k_is_1(fields, numbers_of_it, shape):
    check_layer(layer(f"{WITHIN} {fields}"), {"x": numbers(*shape)},
                lambda x: divided(x, *numbers_of_it, 1, axes=(2, 3)))


@pytest.mark.parametrize("region", ["", WITHIN])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_an_empty_batch_passes(device, region):
    net = OneLayerNet(layer(region), {"x": np.zeros((0, 2, 3, 3))}, device=device)
    assert net.forward()[0].shape == (0, 2, 3, 3)
    assert net.backward(net.top_weights())[0].shape == (0, 2, 3, 3)


@pytest.mark.parametrize("fields, shape, expected", [
    ("local_size: 4", (2, 3, 4, 5), "ParameterError: LRN 'l': expected an odd local_size, got 4."),
    ("", (2, 3, 4), "ShapeError: LRN 'l': expected a bottom of 4 axes (N, C, H, W), "
     "got (2, 3, 4)."),
])
def test_errors_say_what_was_expected(fields, shape, expected):
    assert refusal(layer(fields), {"x": np.zeros(shape)}) == expected


def test_it_does_not_work_in_place():
    with pytest.raises(NetError, match="LRN 'l': expected another name for its top"):
        OneLayerNet('type: "LRN" top: "x"', {"x": np.zeros((1, 2, 3, 3))})

"""Exp agrees with its definition."""

from math import e

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import numbers, refusal


def layer(fields):
    return f'type: "Exp" exp_param {{ {fields} }}'


@pytest.mark.parametrize("fields, base, scale, shift", [
    ("", e, 1, 0),
    ("base: -1", e, 1, 0),
    ("scale: 0.5 shift: 1.5", e, 0.5, 1.5),
    ("base: 2", 2, 1, 0),
    ("base: 2 shift: 1", 2, 1, 1),
    ("base: 3 scale: -0.5 shift: 1", 3, -0.5, 1),
    ("base: 0.25 scale: 2", 0.25, 2, 0),
    ("base: 1", 1, 1, 0),
    ("scale: 0 shift: 2", e, 0, 2),
])
def test_is_the_power_of_the_base(fields, base, scale, shift):
    check_layer(layer(fields), {"x": numbers(2, 3, 4)},
                np.vectorize(lambda v: base ** (scale * v + shift)))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_a_shift_that_would_overflow_alone_does_not(device):
    net = OneLayerNet(layer("shift: -1000"), {"x": [-1000, 1000]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_close(net.forward()[0], [0, 1], 0, "y")
        assert_close(net.backward([[3, 3]])[0], [0, 3], 0, "dx")


@pytest.mark.parametrize("base", ["0", "-2", "inf", "nan"])
def test_a_base_without_a_logarithm_is_refused(base):
    assert refusal(layer(f"base: {base}"), {"x": [1]}) == (
        f"ParameterError: Exp 'l': expected base above 0, or -1 for e, got {float(base)}.")

"""Log agrees with its definition."""

from math import e, log

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal


def layer(fields, more=""):
    return f'type: "Log" log_param {{ {fields} }} {more}'


@pytest.mark.parametrize("fields, base, scale, shift", [
    ("", e, 1, 0),
    ("base: -1", e, 1, 0),
    ("scale: 0.5 shift: 1.5", e, 0.5, 1.5),
    ("base: 2", 2, 1, 0),
    ("base: 10 scale: 3 shift: 1", 10, 3, 1),
    ("base: 0.25 scale: -1 shift: 9", 0.25, -1, 9),
])
def test_is_the_logarithm_to_the_base(fields, base, scale, shift):
    check_layer(layer(fields), {"x": np.abs(numbers(2, 3, 4)) + 0.25},
                np.vectorize(lambda v: log(scale * v + shift) / log(base)))


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_0_and_infinity_have_their_limits(device, top):
    net = OneLayerNet(layer("", f'bottom: "x" top: "{top}"'), {"x": [0, 1, np.inf]}, device=device)
    with np.errstate(divide="ignore"):
        assert_same(net.forward()[0], [-np.inf, 0, np.inf], "y")
        assert_same(net.backward([[2] * 3])[0], [np.inf, 2, 0], "dx")


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_numbers_below_0_have_none(device):
    with np.errstate(invalid="ignore"):
        assert_same(OneLayerNet(layer(""), {"x": [-1]}, device=device).forward()[0], [np.nan], "y")


@pytest.mark.parametrize("base", ["0", "1", "-2", "inf", "nan"])
def test_a_base_that_has_no_logarithms_is_refused(base):
    assert refusal(layer(f"base: {base}"), {"x": [1]}) == (
        "ParameterError: Log 'l': expected base above 0 and other than 1, or -1 for e, "
        f"got {float(base)}.")

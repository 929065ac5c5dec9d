"""Power agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers

DEVICES = ["numpy", "cpu", "strict"]


def layer(fields, more=""):
    return f'type: "Power" power_param {{ {fields} }} {more}'


@pytest.mark.parametrize("fields, power, scale, shift", [
    ("", 1, 1, 0),
    ("scale: 0.5", 1, 0.5, 0),
    ("scale: -2 shift: 3", 1, -2, 3),
    ("power: 2", 2, 1, 0),
    ("power: 2 scale: 0.5 shift: 1", 2, 0.5, 1),
    ("power: 3 scale: -0.5", 3, -0.5, 0),
    ("power: 0", 0, 1, 0),
    ("power: 0 scale: 2 shift: 3", 0, 2, 3),
    ("power: 3 scale: 0 shift: 2", 3, 0, 2),
    ("scale: 0 shift: -2", 1, 0, -2),
    ("power: 0 scale: 0", 0, 0, 0),
])
def test_is_the_power_of_the_shifted_and_scaled_bottom(fields, power, scale, shift):
    check_layer(layer(fields), {"x": numbers(2, 3, 4)},
                np.vectorize(lambda v: (shift + scale * v) ** power))


@pytest.mark.parametrize("fields, power, shift", [("power: 0.5", 0.5, 0), ("power: -1", -1, 0),
                                                  ("power: -1.5 shift: 1", -1.5, 1)])
def test_numbers_above_0_have_any_power(fields, power, shift):
    check_layer(layer(fields), {"x": np.abs(numbers(2, 3, 4)) + 0.25},
                np.vectorize(lambda v: (shift + v) ** power))


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("power, y, dx", [(3, 0, 0), (2, 0, 0), (1, 0, 10), (0.5, 0, np.inf),
                                          (-1, np.inf, -np.inf), (0, 1, 0)])
@pytest.mark.parametrize("device", DEVICES)
def test_a_base_of_0_has_the_slope_of_its_power(device, power, y, dx, top):
    net = OneLayerNet(layer(f"power: {power} scale: 2 shift: -6", f'bottom: "x" top: "{top}"'),
                      {"x": [3]}, device=device)
    with np.errstate(divide="ignore"):
        assert_same(net.forward()[0], [y], "y")
        assert_same(net.backward([[5]])[0], [dx], "dx")


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("device", DEVICES)
def test_the_slope_knows_the_sign_in_place_too(device, top):
    net = OneLayerNet(layer("power: 2", f'bottom: "x" top: "{top}"'), {"x": [-3, 3]},
                      device=device)
    assert_same(net.forward()[0], [9, 9], "y")
    assert_same(net.backward([[1, 1]])[0], [-6, 6], "dx")


@pytest.mark.parametrize("fields, y", [("power: 0", 1), ("scale: 0 shift: 4 power: 0.5", 2)])
@pytest.mark.parametrize("device", DEVICES)
def test_a_constant_heeds_no_bottom(device, fields, y):
    net = OneLayerNet(layer(fields), {"x": [np.nan, np.inf, 0]}, device=device)
    assert_same(net.forward()[0], [y] * 3, "y")
    assert_same(net.backward([[2] * 3])[0], [0] * 3, "dx")


@pytest.mark.parametrize("device", DEVICES)
def test_a_number_below_0_has_no_root(device):
    with np.errstate(invalid="ignore"):
        net = OneLayerNet(layer("power: 0.5"), {"x": [-4, 4]}, device=device)
        assert_close(net.forward()[0], [np.nan, 2], 0, "y")


@pytest.mark.parametrize("fields, reads", [("", ()), ("power: 0", ()), ("scale: 0 power: 3", ()),
                                           ("power: 2", ("bottom",))])
def test_backward_reads_the_bottom_only_where_the_slope_depends_on_it(fields, reads):
    assert OneLayerNet(layer(fields), {"x": [1]}).layer.backward_reads == reads

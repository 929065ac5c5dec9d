"""Eltwise agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]


def layer(fields=""):
    return f'type: "Eltwise" eltwise_param {{ {fields} }}'


def bottoms(count, *shape):
    return {f"x{k}": numbers(*shape, seed=k) for k in range(count)}


def combined(arrays, combine):
    """y[i] = combine([x[i] of every array])."""
    y = np.empty(arrays[0].shape)
    for index in np.ndindex(*y.shape):
        y[index] = combine([float(x[index]) for x in arrays])
    return y


def product(values):
    total = 1.0
    for value in values:
        total *= value
    return total


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1), ()])
@pytest.mark.parametrize("fields, combine", [
    ("", sum), ("operation: SUM", sum), ("operation: PROD", product), ("operation: MAX", max)])
def test_two_blobs_become_their_sum_product_or_maximum(fields, combine, shape):
    check_layer(layer(fields), bottoms(2, *shape), lambda *x: combined(x, combine), kinks=True)


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("fields, combine", [
    ("", sum), ("operation: PROD", product), ("operation: MAX", max)])
def test_there_may_be_more_than_two(fields, combine, count):
    check_layer(layer(fields), bottoms(count, 3, 5), lambda *x: combined(x, combine), kinks=True)


@pytest.mark.parametrize("coeff", [(0.5, -2), (1, -1, 3), (0, 1, 1, 0.25),
                                   (1, 2, -1, 3, 0.5, -2)])
def test_a_sum_may_be_weighted(coeff):
    fields = " ".join(f"coeff: {c}" for c in coeff)
    check_layer(layer(fields), bottoms(len(coeff), 3, 4), lambda *x: combined(
        x, lambda values: sum(c * value for c, value in zip(coeff, values))))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_gradient_of_a_product_may_be_a_quotient(count):
    check_layer(layer("operation: PROD stable_prod_grad: false"), bottoms(count, 3, 4),
                lambda *x: combined(x, product))


@pytest.mark.parametrize("device", DEVICES)
def test_the_stable_gradient_of_a_product_holds_at_0_the_quotient_does_not(device):
    factors = {"a": [0, 2, 0], "b": [3, 5, 0]}
    stable = OneLayerNet(layer("operation: PROD"), factors, device=device)
    quick = OneLayerNet(layer("operation: PROD stable_prod_grad: false"), factors, device=device)
    for net, expected in ((stable, [3, 10, 0]), (quick, [np.nan, 10, np.nan])):
        net.forward()
        with np.errstate(invalid="ignore"):
            assert_same(net.backward([[1, 2, 4]])[0], expected, "da")


@pytest.mark.parametrize("device", DEVICES)
def test_of_equal_numbers_the_second_wins_over_the_first_and_no_later_one_does(device):
    net = OneLayerNet(layer("operation: MAX"), device=device, inputs={
        "a": [1, 2, 2, 0, 3], "b": [1, 1, 1, 2, 3], "c": [1, 2, 3, 2, 3]})
    assert_same(net.forward()[0], [1, 2, 3, 2, 3], "y")
    da, db, dc = net.backward([[1, 2, 3, 4, 5]])
    assert_same(da, [0, 2, 0, 0, 0], "da")
    assert_same(db, [1, 0, 0, 4, 5], "db")
    assert_same(dc, [0, 0, 3, 0, 0], "dc")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("place", range(3))
def test_what_is_not_a_number_shows_in_a_maximum(device, place):
    arrays = [np.ones(2), np.ones(2), np.ones(2)]
    arrays[place][1] = np.nan
    net = OneLayerNet(layer("operation: MAX"), dict(zip("abc", arrays)), device=device)
    assert_same(net.forward()[0], [1, np.nan], "y")


@pytest.mark.parametrize("device", DEVICES)
def test_a_blob_may_be_added_to_itself(make_net, device):
    net = make_net("""force_backward: true
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 } } }
      layer { name: "l" type: "Eltwise" bottom: "x" bottom: "x" top: "y"
              eltwise_param { coeff: 1 coeff: 2 } }""", device=device)
    assert_same(net.forward(x=[1, 2, 3])["y"], [3, 6, 9], "y")
    assert_same(net.backward(y=[1, 0, 2])["x"], [3, 0, 6], "dx")


def test_a_large_blob_comes_out_the_same_on_several_threads():
    x = bottoms(2, 3, 7, 61, 53)
    net = OneLayerNet(layer("coeff: 2 coeff: -1"), x, device="cpu")
    assert_close(net.forward()[0], 2 * x["x0"] - x["x1"], 1e-6, "y")


def test_bottoms_of_different_shapes_are_refused():
    assert refusal(layer(), {"a": numbers(2, 3), "b": numbers(2, 3), "c": numbers(3, 2)}) == (
        "ShapeError: Eltwise 'l': expected bottoms of one shape, got (2, 3) and (3, 2).")


@pytest.mark.parametrize("given", [1, 3])
def test_a_wrong_number_of_coeffs_is_refused(given):
    assert refusal(layer("coeff: 1 " * given), bottoms(2, 3)) == (
        "ParameterError: Eltwise 'l': expected one coeff for each of 2 bottoms, or none, "
        f"got {given}.")


def test_a_product_takes_no_coeff():
    assert refusal(layer("operation: PROD coeff: 2 coeff: 0.5"), bottoms(2, 3)) == (
        "ParameterError: Eltwise 'l': expected no coeff for PROD, got [2.0, 0.5]. "
        "Hint: only a SUM is weighted.")


def test_a_maximum_ignores_coeff_as_in_caffe():
    check_layer(layer("operation: MAX coeff: 2 coeff: 3"), bottoms(2, 3, 4),
                lambda *x: combined(x, max), kinks=True)


def test_one_bottom_is_too_few():
    assert refusal(layer(), bottoms(1, 3)) == (
        "NetError: Eltwise 'l': expected 2 or more bottoms, got 1 (x0).")

"""EuclideanLoss agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal

LAYER = 'type: "EuclideanLoss"'


def loss(a, b):
    return sum((p - q) ** 2 for p, q in zip(a.ravel(), b.ravel())) / (2 * len(a))


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (7,), (3, 1)])
def test_is_half_the_mean_squared_distance(shape):
    check_layer(LAYER, {"a": numbers(*shape), "b": numbers(*shape, seed=1)}, loss)


def test_shapes_may_differ_where_samples_and_elements_agree():
    check_layer(LAYER, {"a": numbers(3, 4, 1, 1), "b": numbers(3, 2, 2, seed=1)}, loss)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_both_bottoms_get_a_gradient(device):
    net = OneLayerNet(LAYER, {"a": [[1, 2], [3, 4]], "b": [[1, 0], [4, 8]]}, device=device)
    assert_same(net.forward()[0], (4 + 1 + 16) / 4, "loss")
    da, db = net.backward([6])
    assert_same(da, [[0, 6], [-3, -12]], "da")
    assert_same(db, [[0, -6], [3, 12]], "db")


def test_it_is_a_loss_of_weight_1():
    net = OneLayerNet(LAYER, {"a": numbers(3, 4), "b": numbers(3, 4)})
    assert net.net.blob_loss_weights["y"] == 1


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_loss_of_no_sample_is_0(device):
    net = OneLayerNet(LAYER, {"a": np.zeros((0, 3)), "b": np.zeros((0, 3))}, device=device)
    assert_same(net.forward()[0], 0, "loss")


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_a_million_squares_are_summed_without_loss(device):
    a = np.full((1, 2**20), 0.1, "float32")
    net = OneLayerNet(LAYER, {"a": a, "b": 0 * a}, device=device)
    assert_close(net.forward()[0], np.square(a.astype(float)).sum() / 2, 1e-6, "loss")


@pytest.mark.parametrize("shape", [(2, 6), (3, 3)])
def test_bottoms_that_do_not_fit_are_refused(shape):
    assert refusal(LAYER, {"a": numbers(3, 4), "b": numbers(*shape)}) == (
        "ShapeError: EuclideanLoss 'l': expected two bottoms of equal count, with 3 samples each, "
        f"got (3, 4) and {shape}.")

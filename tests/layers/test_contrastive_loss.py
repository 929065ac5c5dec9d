"""ContrastiveLoss agrees with its definition."""

from math import sqrt

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_gradient, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]
SIMILAR = [1, 0, 0, 1, 0]


def layer(fields=""):
    return f'type: "ContrastiveLoss" contrastive_loss_param {{ {fields} }}'


def pairs(*shape, similar=SIMILAR):
    return {"a": numbers(*shape), "b": numbers(*shape, seed=1), "similar": similar}


def loss(a, b, similar, margin=1.0, legacy=False):
    total = 0.0
    for n in range(len(a)):
        square = sum((float(p) - float(q)) ** 2 for p, q in zip(a[n].flat, b[n].flat))
        if similar[n]:
            total += square
        elif legacy:
            total += max(margin - square, 0)
        else:
            total += max(margin - sqrt(square), 0) ** 2
    return total / len(a) / 2


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("margin", [1, 2.5, 20])
@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 1, 1), (5,)])
def test_similar_pairs_cost_their_distance_and_others_what_they_lack_of_the_margin(
        shape, margin, legacy):
    fields = f"margin: {margin} legacy_version: {str(legacy).lower()}"
    check_layer(layer(fields), pairs(*shape), lambda a, b, s: loss(a, b, s, margin, legacy),
                gradient=legacy)


def test_the_margin_is_1_by_default():
    inputs = {"a": [[0.5], [0]], "b": [[0], [0]], "similar": [0, 0]}
    assert_close(OneLayerNet(layer(), inputs).forward()[0], (0.25 + 1) / 4, 1e-6, "loss")


def test_the_gradient_is_that_of_the_loss_but_for_what_keeps_it_finite():
    check_gradient(layer("margin: 3"), pairs(5, 3), tolerance=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_distances_are_divided_by_with_1e_4_more_as_in_caffe(device):
    net = OneLayerNet(layer(), {"a": [[0.0003]], "b": [[0.0]], "similar": [0]}, device=device)
    net.forward()
    da, db, _ = net.backward([1])
    assert_close(da, [[-0.9997 * 3 / 4]], 1e-5, "da")
    assert_close(db, [[0.9997 * 3 / 4]], 1e-5, "db")


@pytest.mark.parametrize("legacy", ["false", "true"])
@pytest.mark.parametrize("device", DEVICES)
def test_equal_features_have_a_gradient_of_0(device, legacy):
    net = OneLayerNet(layer(f"legacy_version: {legacy}"), device=device,
                      inputs={"a": [[1, 2]] * 2, "b": [[1, 2]] * 2, "similar": [0, 1]})
    assert_same(net.forward()[0], 0.25, "loss")
    for name, diff in zip(("da", "db"), net.backward([1])):
        assert_same(diff, np.zeros((2, 2)), name)


@pytest.mark.parametrize("legacy", ["false", "true"])
@pytest.mark.parametrize("device", DEVICES)
def test_dissimilar_pairs_beyond_the_margin_are_left_alone(device, legacy):
    net = OneLayerNet(layer(f"legacy_version: {legacy}"), device=device,
                      inputs={"a": [[1, 2]], "b": [[1, 4]], "similar": [0]})
    assert_same(net.forward()[0], 0, "loss")
    assert_same(net.backward([1])[0], [[0, 0]], "da")


@pytest.mark.parametrize("device", DEVICES)
def test_a_label_counts_without_its_fraction(device):
    net = OneLayerNet(layer(), device=device, inputs={
        "a": [[3.0]] * 5, "b": [[0.0]] * 5, "similar": [0.9, -0.5, 1.2, 7, -1]})
    assert_close(net.forward()[0], 27 / 10, 1e-6, "loss")


@pytest.mark.parametrize("weight", [3, 0.5])
def test_the_gradient_scales_with_the_diff_of_the_loss(weight):
    net = OneLayerNet(layer(), pairs(5, 3), dtype="float64")
    net.forward()
    for once, many in zip(net.backward([1])[:2], net.backward([weight])):
        assert_close(many, weight * once, 1e-12, "diff")


def test_it_is_a_loss_of_weight_1():
    net = OneLayerNet(layer(), pairs(5, 3))
    assert net.net.blob_loss_weights["y"] == 1


def test_no_pairs_have_a_loss_of_0():
    net = OneLayerNet(layer(), {"a": numbers(0, 3), "b": numbers(0, 3), "similar": numbers(0)})
    assert net.forward()[0] == 0
    assert net.backward([1])[0].shape == (0, 3)


@pytest.mark.parametrize("other", [(5, 2), (3, 5), (15,)])
def test_features_that_do_not_fit_each_other_are_refused(other):
    inputs = {**pairs(5, 3), "b": numbers(*other)}
    assert refusal(layer(), inputs) == (
        "ShapeError: ContrastiveLoss 'l': expected as many pairs, and features of each, in both "
        f"bottoms, got (5, 3) and {other}.")


def test_labels_that_do_not_fit_the_pairs_are_refused():
    assert refusal(layer(), pairs(5, 3, similar=[1, 0, 1])) == (
        "ShapeError: ContrastiveLoss 'l': expected 5 labels, one for each pair, got (3,).")

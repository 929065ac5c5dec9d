"""SigmoidCrossEntropyLoss agrees with its definition."""

from math import exp, log

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]
TARGETS = np.array([[0, 1, 1], [0.25, 3, 0], [1, 0.5, 3], [3, 0, 1]], "float32")


def layer(fields=""):
    return f'type: "SigmoidCrossEntropyLoss" loss_param {{ {fields} }}'


def loss(x, targets, ignore, normalizer):
    total = 0.0
    for score, t in zip(x.ravel(), targets.ravel()):
        p = 1 / (1 + exp(-score))
        if t != ignore:
            total -= t * log(p) + (1 - t) * log(1 - p)
    return total / normalizer


@pytest.mark.parametrize("fields, ignore, normalizer", [
    ("", None, 4),
    ("ignore_label: 3", 3, 4),
    ("normalization: VALID", None, 12),
    ("normalization: VALID ignore_label: 3", 3, 9),
    ("normalization: FULL ignore_label: 3", 3, 12),
    ("normalization: BATCH_SIZE ignore_label: 3", 3, 4),
    ("normalization: NONE", None, 1),
    ("normalize: false", None, 4),
    ("normalize: true ignore_label: 3", 3, 9),
    ("normalize: true normalization: NONE", None, 1),
    ("ignore_label: -1", None, 4),
])
def test_is_the_sum_of_minus_log_of_the_targets_probability(fields, ignore, normalizer):
    check_layer(layer(fields), {"x": numbers(4, 3), "t": TARGETS},
                lambda x, t: loss(x, t, ignore, normalizer))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (5,), (4, 1)])
def test_the_first_axis_counts_the_samples(shape):
    targets = np.abs(np.tanh(numbers(*shape, seed=1)))
    check_layer(layer(), {"x": numbers(*shape), "t": targets},
                lambda x, t: loss(x, t, None, shape[0]))


@pytest.mark.parametrize("device", DEVICES)
def test_a_target_is_ignored_by_its_whole_part_as_in_caffe(device):
    net = OneLayerNet(layer("ignore_label: 0 normalization: VALID"),
                      {"x": [0, 0, 0, 0], "t": [0, 0.75, 1, -0.5]}, device=device)
    assert_close(net.forward()[0], log(2), 1e-6, "loss")
    assert_same(net.backward([2])[0], [0, 0, -1, 0], "dx")


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_of_ignored_targets_has_loss_and_gradient_0(device):
    net = OneLayerNet(layer("ignore_label: 7 normalization: VALID"),
                      {"x": [[1, np.inf]], "t": [[7, 7]]}, device=device)
    assert_same(net.forward()[0], 0, "loss")
    assert_same(net.backward([2])[0], [[0, 0]], "dx")


@pytest.mark.parametrize("device", DEVICES)
def test_scores_of_any_size_overflow_nowhere(device):
    net = OneLayerNet(layer("normalization: NONE"),
                      {"x": [-1000, -1000, 1000, 1000], "t": [0, 1, 0, 1]}, device=device)
    with np.errstate(over="raise", invalid="raise"):
        assert_same(net.forward()[0], 2000, "loss")
        assert_same(net.backward([3])[0], [0, -3, 3, 0], "dx")


@pytest.mark.parametrize("device", DEVICES)
def test_a_small_loss_keeps_its_digits(device):
    net = OneLayerNet(layer(), {"x": [20], "t": [1]}, device=device)
    assert_close(net.forward()[0] * 1e9, exp(-20) * 1e9, 1e-6, "loss")


def test_it_is_a_loss_of_weight_1():
    net = OneLayerNet(layer(), {"x": numbers(4, 3), "t": TARGETS})
    assert net.net.blob_loss_weights["y"] == 1


@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_the_loss_of_no_sample_is_0(mode):
    net = OneLayerNet(layer(f"normalization: {mode}"),
                      {"x": np.zeros((0, 3)), "t": np.zeros((0, 3))})
    assert_same(net.forward()[0], 0, "loss")


@pytest.mark.parametrize("shape", [(4, 4), (3, 4), (12,)])
def test_targets_that_do_not_fit_the_scores_are_refused(shape):
    assert refusal(layer(), {"x": numbers(4, 3), "t": numbers(*shape)}) == (
        "ShapeError: SigmoidCrossEntropyLoss 'l': expected a target for each score of (4, 3), "
        f"got {shape}.")

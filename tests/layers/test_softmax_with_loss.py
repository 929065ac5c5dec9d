"""SoftmaxWithLoss agrees with its definition."""

from math import exp, log

import numpy as np
import pytest

import minicaffe
from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_gradient, check_layer

from .naive import numbers, refusal
from .test_softmax import probabilities

LABELS = np.array([[[0, 3], [2, 2], [1, 3]], [[2, 0], [1, 0], [3, 3]]], "float32")  # (2, 3, 2)
DEVICES = ["numpy", "cpu", "strict"]


def layer(loss_param="", tops="", axis=1):
    return (f'type: "SoftmaxWithLoss" {tops} loss_param {{ {loss_param} }} '
            f"softmax_param {{ axis: {axis} }}")


def loss(x, labels, ignore=None, normalizer=None):
    """x (N, C, inner), labels (N, inner): the mean, or the sum over ``normalizer``."""
    total, count = 0.0, 0
    for n, i in np.ndindex(*labels.shape):
        label = int(labels[n, i])
        if label != ignore:
            count += 1
            total -= log(exp(x[n, label, i]) / sum(exp(s) for s in x[n, :, i]))
    return total / (count if normalizer is None else normalizer)


@pytest.mark.parametrize("loss_param, ignore, normalizer", [
    ("", None, None),
    ("ignore_label: 2", 2, None),
    ("normalization: VALID", None, 12),
    ("normalization: VALID ignore_label: 2", 2, 9),
    ("normalization: FULL ignore_label: 2", 2, 12),
    ("normalization: BATCH_SIZE ignore_label: 2", 2, 2),
    ("normalization: NONE", None, 1),
    ("normalize: false", None, 2),
    ("normalize: true ignore_label: 0", 0, 9),
    ("normalize: false normalization: FULL", None, 12),
    ("ignore_label: -1", None, 12),
])
def test_is_the_mean_of_minus_log_of_the_labels_probability(loss_param, ignore, normalizer):
    def expected(x, labels):
        return loss(x.reshape(2, 4, 6), labels.reshape(2, 6), ignore, normalizer)

    check_layer(layer(loss_param), {"x": numbers(2, 4, 3, 2), "label": LABELS}, expected)


def test_axis_tells_where_the_classes_are():
    check_layer(layer(axis=-1), {"x": numbers(3, 2, 5), "label": [[0, 4], [2, 2], [1, 3]]},
                lambda x, labels: loss(x.reshape(6, 5, 1), labels.reshape(6, 1)))


def test_a_second_top_is_the_probabilities():
    check_layer(layer(tops='top: "loss" top: "p"'), {"x": numbers(3, 4), "label": [1, 0, 3]},
                lambda x, labels: [loss(x[:, :, None], labels[:, None]), probabilities(x, 1)],
                ignored_tops=[1])


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_of_ignored_labels_has_loss_and_gradient_0(device):
    net = OneLayerNet(layer("ignore_label: 7"), {"x": numbers(2, 4), "label": [7, 7]},
                      device=device)
    assert net.forward()[0] == 0
    assert_same(net.backward([2])[0], np.zeros((2, 4)), "dx")


@pytest.mark.parametrize("device", DEVICES)
def test_scores_of_any_size_give_a_loss(device):
    net = OneLayerNet(layer(), {"x": [[1e4, 0], [0, 1e4]], "label": [0, 0]}, device=device)
    y, = net.forward()
    assert_close(y, -log(np.finfo("float32").tiny) / 2, 1e-6, "loss")  # the smallest number's log
    assert_close(net.backward([1])[0], [[0, 0], [-0.5, 0.5]], 1e-6, "dx")


@pytest.mark.parametrize("weight", [3, 0.5])
def test_the_gradient_scales_with_the_diff_of_the_loss(weight):
    net = OneLayerNet(layer(), {"x": numbers(3, 4), "label": [1, 0, 3]}, dtype="float64")
    net.forward()
    once, many = net.backward([1])[0], net.backward([weight])[0]
    assert_close(many, weight * once, 1e-12, "dx")


def test_it_is_a_loss_of_weight_1():
    net = OneLayerNet(layer(), {"x": numbers(3, 4), "label": [1, 0, 3]})
    assert net.net.blob_loss_weights["y"] == 1
    assert net.tops[0].diff == 1


@pytest.mark.parametrize("label, bad", [(4, "[4.0]"), (-1, "[-1.0]")])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_a_label_out_of_range_is_refused(device, label, bad):
    net = OneLayerNet(layer(), {"x": numbers(3, 4), "label": [1, label, 3]}, device=device)
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.forward()
    assert str(caught.value) == (f"SoftmaxWithLoss 'l': expected labels from 0 to 3, got {bad}. "
                                 "Hint: does num_output of the layer before count every class?")


def test_a_label_out_of_range_is_a_loss_of_nan_where_asking_would_wait():
    net = OneLayerNet(layer(), {"x": numbers(3, 4), "label": [1, 4, 3]}, device="strict")
    assert np.isnan(net.forward()[0])


def test_labels_that_do_not_fit_the_scores_are_refused():
    assert refusal(layer(), {"x": numbers(3, 4), "label": [1, 2]}) == (
        "ShapeError: SoftmaxWithLoss 'l': expected 3 labels, one for each score vector of (3, 4), "
        "got (2,). Hint: softmax_param { axis } tells where they are.")


def test_gradient_holds_with_an_ignored_label_out_of_range():
    check_gradient(layer("ignore_label: 255"), {"x": numbers(3, 4), "label": [1, 255, 3]})


@pytest.mark.parametrize("mode", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
def test_the_loss_of_no_sample_is_0(make_net, mode):
    net = make_net(f"""layer {{ name: "x" type: "Input" top: "x" top: "l"
        input_param {{ shape {{ dim: 0 dim: 3 }} shape {{ dim: 0 }} }} }}
      layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "loss"
        loss_param {{ normalization: {mode} }} }}""")
    assert float(net.forward()["loss"]) == 0

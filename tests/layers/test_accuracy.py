"""Accuracy agrees with its definition."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal


def layer(fields="", tops=""):
    return f'type: "Accuracy" {tops} accuracy_param {{ {fields} }}'


def counted(x, labels, top_k=1, ignore=None):
    """Whether each label that counts is right, in order, and those labels; x (N, C, inner)."""
    right, used = [], []
    for n, i in np.ndindex(*labels.shape):
        label = int(labels[n, i])
        if label != ignore:
            rivals = [c for c in range(x.shape[1]) if c != label and x[n, c, i] >= x[n, label, i]]
            right.append(len(rivals) < top_k)
            used.append(label)
    return np.array(right), np.array(used)


LABELS = np.random.default_rng(5).integers(0, 4, (3, 5, 2))
SCORES = {"x": numbers(3, 4, 5, 2), "label": LABELS}


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("ignore", [None, 1])
def test_is_the_share_of_labels_among_the_best(top_k, ignore):
    fields = f"top_k: {top_k}" + ("" if ignore is None else f" ignore_label: {ignore}")
    check_layer(layer(fields), SCORES, lambda x, labels: counted(
        x.reshape(3, 4, 10), labels.reshape(3, 10), top_k, ignore)[0].mean(), gradient=False)


@pytest.mark.parametrize("ignore", [None, 1])
def test_a_second_top_is_the_accuracy_of_each_class(ignore):
    def expected(x, labels):
        right, used = counted(x.reshape(3, 4, 10), labels.reshape(3, 10), 1, ignore)
        return [right.mean(), [right[used == c].mean() if (used == c).any() else 0
                               for c in range(4)]]

    fields = "" if ignore is None else f"ignore_label: {ignore}"
    check_layer(layer(fields, 'top: "y" top: "classes"'), SCORES, expected, gradient=False)


def test_axis_tells_where_the_classes_are():
    check_layer(layer("axis: 2"), {"x": numbers(3, 2, 5), "label": [[0, 4], [2, 2], [1, 3]]},
                lambda x, labels: counted(x.reshape(6, 5, 1), labels.reshape(6, 1))[0].mean(),
                gradient=False)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
@pytest.mark.parametrize("scores, top_k, expected", [
    ([1, 1, 0], 1, 0),   # a tie counts against the label
    ([1, 1, 0], 2, 1),
    ([1, 0, 0], 1, 1),
    ([np.nan, 0, 0], 1, 0),
])
def test_ties_and_nans_count_against_the_label(device, scores, top_k, expected):
    net = OneLayerNet(layer(f"top_k: {top_k}"), {"x": [scores], "label": [0]}, device=device)
    assert net.forward()[0] == expected


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_a_label_out_of_range_is_wrong_and_all_ignored_is_0(device):
    net = OneLayerNet(layer(), {"x": [[3, 1], [3, 1]], "label": [0, 5]}, device=device)
    assert_same(net.forward()[0], 0.5, "y")
    net = OneLayerNet(layer("ignore_label: 0"), {"x": [[3, 1]], "label": [0]}, device=device)
    assert_same(net.forward()[0], 0, "y")


@pytest.mark.parametrize("fields, labels, expected", [
    ("top_k: 0", [0, 1], "ParameterError: Accuracy 'l': expected top_k of 1 or more, got 0."),
    ("top_k: 4", [0, 1], "ShapeError: Accuracy 'l': expected 4 or more classes for top_k, got 3."),
    ("", [0, 1, 2], "ShapeError: Accuracy 'l': expected 2 labels, one for each score vector of "
     "(2, 3), got (3,). Hint: accuracy_param { axis } tells where the classes are."),
    ("axis: 2", [0, 1], "ShapeError: Accuracy 'l': expected a bottom with an axis 2, got (2, 3)."),
])
def test_errors_say_what_was_expected(fields, labels, expected):
    assert refusal(layer(fields), {"x": numbers(2, 3), "label": labels}) == expected

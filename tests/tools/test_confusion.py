"""The confusion matrix, its text, and what a test net's passes give."""

import numpy
import pytest

from minicaffe import TEST, Net
from minicaffe.data import Batches
from minicaffe.errors import ParameterError, ShapeError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.tools.confusion import Confusion, evaluate, scores_blob

NET = """
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
ACCURACY = """layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy"
  include { phase: TEST } %s }"""


def filled(classes, true, predicted):
    confusion = Confusion(classes)
    confusion.add(true, predicted)
    return confusion


def test_rows_are_true_classes_and_columns_predicted_ones():
    confusion = filled(3, [0, 0, 1, 1, 1], [0, 2, 1, 1, 0])
    assert confusion.matrix.tolist() == [[1, 0, 1], [1, 2, 0], [0, 0, 0]]
    assert confusion.accuracy == 3 / 5
    numpy.testing.assert_allclose(confusion.per_class, [1 / 2, 2 / 3, numpy.nan])


def test_counts_add_up_and_labels_may_be_floats_of_any_shape():
    confusion = filled(2, [[0.0], [1.0]], [0, 1])
    confusion.add(numpy.float32([1, 1]), numpy.int64([1, 0]))
    assert confusion.matrix.tolist() == [[1, 0], [1, 2]]


def test_without_samples_nothing_is_known():
    confusion = Confusion(["a", "b"])
    assert numpy.isnan(confusion.accuracy) and numpy.isnan(confusion.per_class).all()
    assert "-" in confusion.text()


@pytest.mark.parametrize("true, predicted, kind, message", [
    ([0, 3], [0, 0], ParameterError, "confusion: expected labels from 0 to 2, got [3]"),
    ([0, -1], [0, 0], ParameterError, "confusion: expected labels from 0 to 2, got [-1]"),
    ([0, numpy.nan], [0, 0], ParameterError, "confusion: expected labels from 0 to 2, got [nan]"),
    ([0, 0], [0, 4], ParameterError, "confusion: expected predictions from 0 to 2, got [4]"),
    ([0, 0], [0], ShapeError, "confusion: expected a prediction for each label, got 1 for 2")])
def test_what_cannot_be_counted_is_told_and_not_counted(true, predicted, kind, message):
    confusion = Confusion(3)
    with pytest.raises(kind) as caught:
        confusion.add(true, predicted)
    assert str(caught.value).startswith(message)
    assert confusion.matrix.sum() == 0


def test_short_names_head_the_columns():
    text = filled(["cat", "dog", "beaver"], [0, 0, 0, 1], [0, 0, 1, 1]).text()
    assert text.splitlines() == ["predicted class of each column:",
                                 "  true    cat  dog  beaver  accuracy",
                                 "  cat       2    1       .    66.7 %",
                                 "  dog       .    1       .   100.0 %",
                                 "  beaver    .    .       0         -"]


def test_long_names_have_numbers_in_the_columns():
    name = "Abyssinian cat of the neighbours"
    text = filled([name, "their Abyssinian cat's friend"], [0, 1], [1, 1]).text()
    assert text.splitlines()[1:] == ["  true                                0  1  accuracy",
                                     f"  0 {name}  0  1     0.0 %",
                                     "  1 their Abyssinian cat's friend     .  1   100.0 %"]


def test_columns_are_headed_by_names_that_fit_a_line():
    text = filled(["Abyssinian", "pug"], [0, 1], [1, 1]).text()
    assert text.splitlines()[1] == "  true        Abyssinian  pug  accuracy"


def test_of_many_classes_the_worst_and_the_most_confused_are_told():
    true = [k for k in range(30) for _ in range(10)]
    predicted = list(true)
    predicted[70:73], predicted[110] = [4, 4, 5], 12  # three of class 7, one of class 11
    lines = filled([f"kind {k}" for k in range(30)], true, predicted).text().splitlines()
    assert lines[0] == "the 20 worst of 30 classes:"
    assert lines[2].split() == ["kind", "7", "70.0", "%", "10", "kind", "4", "(2)"]
    assert lines[3].split() == ["kind", "11", "90.0", "%", "10", "kind", "12", "(1)"]
    assert lines[4].split() == ["kind", "0", "100.0", "%", "10", "-"]
    assert len(lines) == 22 + 6
    assert [line.split() for line in lines[-3:]] == [["2", "kind", "7", "kind", "4"],
                                                     ["1", "kind", "7", "kind", "5"],
                                                     ["1", "kind", "11", "kind", "12"]]


def test_classes_without_samples_are_not_the_worst_ones():
    text = filled(30, [3], [3]).text()
    assert text.startswith("the 1 worst of 30 classes:") and text.endswith("no confusions")


# ------------------------------------------------------------------------------- of a tested net

X = numpy.float32([[5, 0, 0], [0, 5, 0], [0, 5, 0], [0, 0, 5], [0, 0, 5]])
Y = numpy.float32([0, 1, 0, 2, 1])


@pytest.fixture
def tested(parse_net):
    """A net whose scores are its inputs, fed five samples in batches of two."""
    def make(text):
        net = Net(parse_net(text), TEST, device="numpy", keep=["ip", "y"])
        net.params["ip"][0].data[...] = numpy.eye(3)
        net.source = Batches({"x": X, "y": Y})
        return net
    return make


def test_the_blobs_that_a_test_compares_are_found_before_and_after_the_net_is_made(parse_net):
    for text in (NET, NET + ACCURACY % ""):
        assert scores_blob(parse_net(text)) == ("ip", "y")
        assert scores_blob(Net(parse_net(text), TEST, device="numpy")) == ("ip", "y")
    assert scores_blob(parse_net(NET.split('layer { name: "loss"')[0])) is None


def test_an_accuracy_goes_before_a_loss(parse_net):
    net = parse_net(NET + (ACCURACY % "").replace('bottom: "ip"', 'bottom: "x"'))
    assert scores_blob(net) == ("x", "y")


def test_every_sample_counts_alike_in_the_means_and_once_in_the_confusion(tested):
    net = tested(NET + ACCURACY % "")
    means, confusion = evaluate(net, 3, "ip", "y")
    assert confusion.matrix.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert confusion.accuracy == pytest.approx(means["accuracy"]) == 3 / 5
    logs = X - numpy.log(numpy.exp(X).sum(axis=1, keepdims=True))
    assert means["loss"] == pytest.approx(-logs[range(5), Y.astype(int)].mean(), rel=1e-5)


def test_classes_get_their_names(tested):
    _, confusion = evaluate(tested(NET), 3, "ip", "y", classes=("a", "b", "c"))
    assert confusion.names == ["a", "b", "c"]
    _, confusion = evaluate(tested(NET), 3, "ip", "y", classes=("a",))
    assert confusion.names == ["a", "1", "2"]  # a net may have scores to spare


@pytest.mark.parametrize("text", [
    NET + ACCURACY % "accuracy_param { ignore_label: 1 }",
    NET.replace('top: "loss"', 'top: "loss" loss_param { ignore_label: 1 }')])
def test_ignored_labels_are_left_out(tested, text):
    _, confusion = evaluate(tested(text), 3, "ip", "y")
    assert confusion.matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_the_classes_may_lie_on_another_axis(make_net):
    net = make_net("""
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 dim: 2 } shape { dim: 2 dim: 3 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "x" bottom: "y" top: "accuracy"
  accuracy_param { axis: 2 } }""", TEST)
    net.blobs["x"].data[...] = numpy.eye(2)[[[0, 1, 1], [0, 0, 1]]]
    net.blobs["y"].data[...] = [[0, 1, 0], [0, 1, 1]]
    means, confusion = evaluate(net, 1, "x", "y")
    assert confusion.matrix.tolist() == [[2, 1], [1, 2]]
    assert confusion.accuracy == pytest.approx(means["accuracy"])


def test_of_more_classes_than_can_be_counted_the_means_are_told_alone():
    text = NET.replace("num_output: 3", "num_output: 5000")
    net = Net(parse_text(text, NetParameter), TEST, keep=["ip", "y"], device="numpy")
    net.source = Batches({"x": X, "y": Y})
    means, confusion = evaluate(net, 3, "ip", "y")
    assert means["loss"] > 0 and confusion is None

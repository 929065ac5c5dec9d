"""The means of a net's outputs, over passes of different numbers of samples."""

import numpy
import pytest

from minicaffe import TEST
from minicaffe.data import Batches
from minicaffe.solvers.output_means import OutputMeans, output_names


def test_every_sample_counts_alike(make_net):
    net = make_net("""
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "x" bottom: "y" top: "right" }""", TEST)
    net.source = Batches({"x": numpy.eye(3, dtype="f4"), "y": numpy.float32([0, 2, 2])})
    means = OutputMeans(net)
    for expected in (1 / 2, 2 / 3, (1 + 1 + 1) / 5):  # batches of 2, 1, 2
        means.run_pass()
        assert means.result() == {"right": pytest.approx(expected)}


def test_without_a_source_every_pass_counts_alike_and_arrays_have_a_label_for_each_number(make_net):
    net = make_net("""
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "twice" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }""", TEST)
    means = OutputMeans(net)
    for values in ([1, 2], [2, 6]):
        net.blobs["x"].data[...] = values
        means.run_pass()
    assert means.result() == {"y[0]": 3, "y[1]": 8}


def test_before_the_first_pass_there_is_nothing(make_net):
    net = make_net('layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }')
    assert OutputMeans(net).result() == {}


def test_one_number_is_called_like_its_output():
    assert output_names("loss", 1) == ["loss"] and output_names("x", 2) == ["x[0]", "x[1]"]

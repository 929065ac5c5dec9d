"""Threshold agrees with its definition."""

import numpy as np
import pytest

import minicaffe
from minicaffe.errors import NetError
from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers

DEVICES = ["numpy", "cpu", "strict"]
LEARNS_BELOW = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
      inner_product_param { num_output: 4 } }
    layer { name: "t" type: "Threshold" bottom: "ip" top: "t" }
    layer { name: "sum" type: "InnerProduct" bottom: "t" top: "sum" loss_weight: 1
      inner_product_param { num_output: 1 } %s }"""


@pytest.mark.parametrize("fields, threshold", [("", 0), ("threshold: 0.25", 0.25),
                                               ("threshold: -1", -1)])
def test_elements_above_the_threshold_are_1(fields, threshold):
    check_layer(f'type: "Threshold" threshold_param {{ {fields} }}', {"x": numbers(2, 3, 5, 4)},
                np.vectorize(lambda v: 1 if v > threshold else 0), gradient=False)


@pytest.mark.parametrize("device", DEVICES)
def test_the_threshold_itself_is_not_above_it(device):
    net = OneLayerNet('type: "Threshold" threshold_param { threshold: 0.5 }',
                      {"x": [-np.inf, 0.5, 0.75, np.inf, np.nan]}, device=device)
    assert_same(net.forward()[0], [0, 0, 1, 1, 0], "y")


def test_a_gradient_through_it_is_refused(make_net):
    with pytest.raises(NetError, match="Threshold 't': expected a bottom 0 that no learning layer "
                                       "makes, as it has no gradient to give, got 'ip'"):
        make_net(LEARNS_BELOW % "", minicaffe.TRAIN)


def test_what_learns_above_it_may(make_net):
    make_net(LEARNS_BELOW % "propagate_down: false", minicaffe.TRAIN).backward()

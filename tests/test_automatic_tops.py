"""A loss that names no top makes one that counts in the loss and is no output, as in real Caffe."""

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.errors import NetError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text

NET = """
layer { name: "x" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 1 weight_filler { value: 1 } } }
layer { name: "first" type: "EuclideanLoss" bottom: "ip" bottom: "t" }
layer { name: "second" type: "EuclideanLoss" bottom: "ip" bottom: "t" loss_weight: 3 }
layer { name: "double" type: "Power" bottom: "ip" top: "twice" power_param { scale: 2 } }
"""


@pytest.mark.parametrize("keep", ["all", []])
def test_its_loss_counts_and_nobody_sees_it(keep):
    net = caffe.Net(parse_text(NET, NetParameter), caffe.TRAIN, keep=keep)
    outputs = net.forward(x=np.ones((2, 3)), t=np.zeros((2, 1)))
    assert list(outputs) == net.outputs == ["twice"]
    assert net.top_names["first"] == ["(automatic)"]
    assert net.top_names["second"] == ["(automatic)_1"]
    loss = 2 * 3 ** 2 / 4  # sum of squares / 2N
    assert float(net.loss()) == loss + 3 * loss
    assert float(net.blobs["(automatic)"].data) == loss
    net.backward()
    assert np.allclose(net.params["ip"][1].diff, (1 + 3) * (3 + 3) / 2)


def test_no_layer_can_use_it():
    text = NET + 'layer { name: "y" type: "Power" bottom: "(automatic)" top: "y" }'
    with pytest.raises(NetError, match="a bottom made by a layer before it, got '.automatic.'"):
        caffe.Net(parse_text(text, NetParameter), caffe.TRAIN)


def test_a_net_that_was_written_with_it_is_the_same():
    net = caffe.Net(parse_text(NET, NetParameter), caffe.TRAIN)
    assert caffe.Net(net.param, caffe.TRAIN).outputs == ["twice"]

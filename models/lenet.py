"""LeNet on MNIST, as Caffe published it: the net with which everyone begins.

    data (64, 1, 28, 28) -> conv1 (20, 24 x 24) -> pool1 (12 x 12)
                         -> conv2 (50,  8 x  8) -> pool2 ( 4 x  4)
                         -> ip1 (500) -> relu -> ip2 (10) -> loss

A convolution looks at every 5 x 5 window of the picture with the same few weights, a pool keeps the
largest of each 2 x 2: so a stroke is found wherever it lies.  Unlike its ancestor it has a ReLU
after ip1 alone.

Published result: about 99.1 % of the 10,000 test pictures after 10,000 iterations.
Source: LeCun, Bottou, Bengio and Haffner (1998); net and settings are those of Caffe's MNIST
example (BVLC/caffe, examples/mnist).
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "mnist"
LEARN = [dict(lr_mult=1), dict(lr_mult=2)]  # a bias learns twice as fast as the weights


def net(batch_size: int = 64, classes: int = 10, shape: tuple = (1, 28, 28)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("LeNet")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]), transform_param=dict(scale=1 / 256))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5, param=LEARN,
                            weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=5, param=LEARN,
                            weight_filler=dict(type="xavier"))
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, param=LEARN,
                           weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=classes, param=LEARN,
                           weight_filler=dict(type="xavier"))
    n.accuracy = L.Accuracy(n.ip2, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def solver() -> SolverParameter:
    """The published settings; the rate falls as ``0.01 * (1 + 0.0001 * iteration) ^ -0.75``."""
    return SolverParameter(base_lr=0.01, lr_policy="inv", gamma=0.0001, power=0.75, momentum=0.9,
                           weight_decay=0.0005, max_iter=10000, display=100, test_interval=500,
                           snapshot=5000)

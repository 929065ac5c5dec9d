"""A small convolutional net for 8 x 8 pictures of digits: two convolutions, two pools.

    data (64, 1, 8, 8) -> conv1 (16) -> pool1 (4 x 4) -> conv2 (32) -> pool2 (2 x 2)
                       -> ip1 (64) -> dropout -> ip2 (10) -> loss
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "digits"  # what it is trained on unless --data says otherwise
LEARN = [dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)]  # weights, bias


def net(batch_size: int = 64, classes: int = 10, shape: tuple = (1, 8, 8)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("digits")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]), transform_param=dict(scale=1 / 256))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.conv1 = convolution(n.data, num_output=16)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = convolution(n.pool1, num_output=32)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=64, weight_filler=dict(type="msra"), param=LEARN)
    n.relu3 = L.ReLU(n.ip1, in_place=True)
    n.drop = L.Dropout(n.relu3, dropout_ratio=0.25, in_place=True)
    n.ip2 = L.InnerProduct(n.drop, num_output=classes, weight_filler=dict(type="xavier"),
                           param=LEARN)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    n.accuracy = L.Accuracy(n.ip2, n.label, include=dict(phase=TEST))
    return n.to_proto()


def convolution(bottom, num_output: int):
    """3 x 3, padded so that the map keeps its size."""
    return L.Convolution(bottom, num_output=num_output, kernel_size=3, pad=1,
                         weight_filler=dict(type="msra"), param=LEARN)


def solver() -> SolverParameter:
    """SGD with momentum for 30 epochs; the rate falls in a straight line to 0."""
    return SolverParameter(base_lr=0.05, lr_policy="poly", power=1, momentum=0.9,
                           weight_decay=0.0005, max_iter=700, display=50, average_loss=50,
                           test_interval=200)

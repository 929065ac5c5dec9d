"""CIFAR-10 quick, as Caffe published it: three convolutions, ten classes of small colour pictures.

    data (100, 3, 32, 32) -> conv1 (32) -> max pool1 (16 x 16) -> relu
                          -> conv2 (32) -> relu -> average pool2 (8 x 8)
                          -> conv3 (64) -> relu -> average pool3 (4 x 4)
                          -> ip1 (64) -> ip2 (10) -> loss

The pictures go in as they are, 0 to 255, less the mean of all training pictures; that is why conv1
begins with weights as small as 0.0001.  Pools of 3 with a stride of 2 overlap, and round up.

Published result: about 75 % of the test pictures after 5,000 iterations; on the pictures
of cifar10-jpeg, which real Caffe was given as well, 73.67 %.
Source: net and settings are those of Caffe's CIFAR-10 example (BVLC/caffe, examples/cifar10), after
Krizhevsky's cuda-convnet; the data: Krizhevsky (2009).
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "cifar10"
LEARN = [dict(lr_mult=1), dict(lr_mult=2)]  # weights, bias


def net(batch_size: int = 100, classes: int = 10, shape: tuple = (3, 32, 32)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("CIFAR10_quick")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]),
                     transform_param=dict(subtract_mean="image"))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.conv1 = convolution(n.data, 32, std=0.0001)
    n.pool1 = pooling(n.conv1, P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.conv2 = convolution(n.relu1, 32, std=0.01)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = pooling(n.relu2, P.Pooling.AVE)
    n.conv3 = convolution(n.pool2, 64, std=0.01)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.pool3 = pooling(n.relu3, P.Pooling.AVE)
    n.ip1 = inner_product(n.pool3, 64)
    n.ip2 = inner_product(n.ip1, classes)
    n.accuracy = L.Accuracy(n.ip2, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def convolution(bottom, num_output: int, std: float):
    """5 x 5, padded so that the map keeps its size."""
    return L.Convolution(bottom, num_output=num_output, kernel_size=5, pad=2, param=LEARN,
                         weight_filler=dict(type="gaussian", std=std))


def pooling(bottom, pool: int):
    """3 x 3 with a stride of 2: half the size, each pixel seen by more than one window."""
    return L.Pooling(bottom, pool=pool, kernel_size=3, stride=2)


def inner_product(bottom, num_output: int):
    """``y = x @ W.T + b``"""
    return L.InnerProduct(bottom, num_output=num_output, param=LEARN,
                          weight_filler=dict(type="gaussian", std=0.1))


def solver() -> SolverParameter:
    """The published settings: 4,000 iterations at 0.001, then 1,000 at 0.0001."""
    return SolverParameter(base_lr=0.001, lr_policy="multistep", stepvalue=[4000], gamma=0.1,
                           momentum=0.9, weight_decay=0.004, max_iter=5000, display=100,
                           test_interval=500, snapshot=4000)

"""CIFAR-10 full, as Caffe published it: the quick net, with normalisation and a longer training.

    data (100, 3, 32, 32) -> conv1 (32) -> max pool1 (16 x 16) -> relu -> norm1
                          -> conv2 (32) -> relu -> average pool2 (8 x 8) -> norm2
                          -> conv3 (64) -> relu -> average pool3 (4 x 4)
                          -> ip1 (10) -> loss

What is new beside models/cifar10_quick.py: local response normalisation, which divides each number
by what its neighbours in the map add up to; one inner product instead of two; and a decay of its
weights 250 times that of the others, which keeps it from learning the training part by heart.

Published result: about 81 to 82 % of the test pictures after 70,000 iterations.
Source: net and settings are those of Caffe's CIFAR-10 example (BVLC/caffe, examples/cifar10), after
the "18 % error" net of Krizhevsky's cuda-convnet.
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
    n = NetSpec("CIFAR10_full")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]),
                     transform_param=dict(subtract_mean="image"))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.conv1 = convolution(n.data, 32, std=0.0001, param=LEARN)
    n.pool1 = pooling(n.conv1, P.Pooling.MAX)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.norm1 = normalization(n.relu1)
    n.conv2 = convolution(n.norm1, 32, std=0.01, param=LEARN)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = pooling(n.relu2, P.Pooling.AVE)
    n.norm2 = normalization(n.pool2)
    n.conv3 = convolution(n.norm2, 64, std=0.01)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.pool3 = pooling(n.relu3, P.Pooling.AVE)
    n.ip1 = L.InnerProduct(n.pool3, num_output=classes,
                           weight_filler=dict(type="gaussian", std=0.01),
                           param=[dict(lr_mult=1, decay_mult=250), dict(lr_mult=2, decay_mult=0)])
    n.accuracy = L.Accuracy(n.ip1, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.ip1, n.label)
    return n.to_proto()


def convolution(bottom, num_output: int, std: float, **more):
    """5 x 5, padded so that the map keeps its size."""
    return L.Convolution(bottom, num_output=num_output, kernel_size=5, pad=2,
                         weight_filler=dict(type="gaussian", std=std), **more)


def pooling(bottom, pool: int):
    """3 x 3 with a stride of 2: half the size, each pixel seen by more than one window."""
    return L.Pooling(bottom, pool=pool, kernel_size=3, stride=2)


def normalization(bottom):
    """Each number over ``(1 + alpha * mean square of its 3 x 3 neighbourhood) ^ 0.75``."""
    return L.LRN(bottom, local_size=3, alpha=5e-5, beta=0.75, norm_region=P.LRN.WITHIN_CHANNEL)


def solver() -> SolverParameter:
    """The published settings: 60,000 iterations at 0.001, 5,000 each at a 10th and a 100th."""
    return SolverParameter(base_lr=0.001, lr_policy="multistep", stepvalue=[60000, 65000],
                           gamma=0.1, momentum=0.9, weight_decay=0.004, max_iter=70000, display=200,
                           test_interval=1000, snapshot=10000)

"""AlexNet on ImageNet, the net that began it: five convolutions, three inner products, 61 million
weights, seven of every eight in the inner products.

    data (256, 3, 227, 227) -> conv1 (96, 55 x 55)  -> norm1 -> max pool1 (27 x 27)
                            -> conv2 (256, 27 x 27) -> norm2 -> max pool2 (13 x 13)
                            -> conv3 (384) -> conv4 (384) -> conv5 (256) -> max pool5 (6 x 6)
                            -> fc6 (4096) -> fc7 (4096) -> fc8 (1000) -> loss

A ReLU follows each but fc8; a dropout fc6 and fc7.  conv2, conv4 and conv5 have two groups, each of
which sees one half of the channels: the first AlexNet lay on two graphics cards.

What is new beside models/lenet.py: depth, local response normalisation and dropout, which in each
pass of the training leaves out half of the numbers, so that none of them relies on another.

Published result: 57.1 % of the validation pictures, among the best five 80.2 %, after 360,000
iterations.
Source: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural
Networks (2012); net and settings are those of Caffe's bvlc_alexnet, whose weights it takes.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "imagenet"  # --data takes a folder of your own, with a folder of pictures for each class
SIDE = 227
MEAN = (104, 117, 123)  # blue, green, red
LEARN = [dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)]  # weights, bias


def net(batch_size: int = 256, classes: int = 1000, shape: tuple = (3, SIDE, SIDE)
        ) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("AlexNet")
    n.data = pictures(batch_size, shape)
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.conv1 = convolution(n.data, 96, kernel_size=11, stride=4)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.norm1 = normalization(n.relu1)
    n.pool1 = pooling(n.norm1)
    n.conv2 = convolution(n.pool1, 256, bias=0.1, kernel_size=5, pad=2, group=2)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.norm2 = normalization(n.relu2)
    n.pool2 = pooling(n.norm2)
    n.conv3 = convolution(n.pool2, 384, kernel_size=3, pad=1)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.conv4 = convolution(n.relu3, 384, bias=0.1, kernel_size=3, pad=1, group=2)
    n.relu4 = L.ReLU(n.conv4, in_place=True)
    n.conv5 = convolution(n.relu4, 256, bias=0.1, kernel_size=3, pad=1, group=2)
    n.relu5 = L.ReLU(n.conv5, in_place=True)
    n.pool5 = pooling(n.relu5)
    n.fc6 = inner_product(n.pool5, 4096, std=0.005, bias=0.1)
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.drop6 = L.Dropout(n.relu6, dropout_ratio=0.5, in_place=True)
    n.fc7 = inner_product(n.drop6, 4096, std=0.005, bias=0.1)
    n.relu7 = L.ReLU(n.fc7, in_place=True)
    n.drop7 = L.Dropout(n.relu7, dropout_ratio=0.5, in_place=True)
    n.fc8 = inner_product(n.drop7, classes, std=0.01)
    n.accuracy = L.Accuracy(n.fc8, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.fc8, n.label)
    return n.to_proto()


def pictures(batch_size: int, shape: tuple):
    """Pictures less the mean colour: of large ones a window of 227 x 227, mirrored or not."""
    crop = SIDE if min(shape[1:]) >= SIDE else 0
    size = (crop, crop) if crop else shape[1:]
    return L.Input(shape=dict(dim=[batch_size, shape[0], *size]), transform_param=dict(
        mean_value=MEAN[:shape[0]], crop_size=crop, mirror=True))


def convolution(bottom, num_output: int, bias: float = 0, **window):
    """A bias above 0 keeps the ReLU behind it open while the weights are small."""
    return L.Convolution(bottom, num_output=num_output, param=LEARN,
                         weight_filler=dict(type="gaussian", std=0.01),
                         bias_filler=dict(value=bias), **window)


def pooling(bottom):
    """3 x 3 with a stride of 2: half the size, each number seen by more than one window."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)


def normalization(bottom):
    """Each number over ``(1 + alpha * mean square of the 5 channels around it) ^ 0.75``."""
    return L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)


def inner_product(bottom, num_output: int, std: float, bias: float = 0):
    """``y = x @ W.T + b``"""
    return L.InnerProduct(bottom, num_output=num_output, param=LEARN,
                          weight_filler=dict(type="gaussian", std=std),
                          bias_filler=dict(value=bias))


def solver() -> SolverParameter:
    """The published settings: 0.01, a tenth of it after each 100,000 iterations (20 epochs).

    A smaller batch takes a smaller rate, such as --batch-size 32 --lr 0.001.
    """
    return SolverParameter(base_lr=0.01, lr_policy="step", stepsize=100000, gamma=0.1,
                           momentum=0.9, weight_decay=0.0005, max_iter=450000, display=20,
                           test_interval=1000, snapshot=10000)

"""MobileNet on ImageNet: convolutions taken apart, nine times cheaper; 4.2 million weights.

    data (64, 3, 224, 224) -> conv1 (32, 112 x 112)
                           -> conv2_1 (64)   -> conv2_2 (128, 56 x 56)
                           -> conv3_1 (128)  -> conv3_2 (256, 28 x 28)
                           -> conv4_1 (256)  -> conv4_2 (512, 14 x 14)
                           -> conv5_1 .. conv5_5 (512) -> conv5_6 (1024, 7 x 7)
                           -> conv6 (1024) -> average pool6 -> fc7 (1000) -> loss

    each:  x -> 3 x 3, depthwise -> norm -> relu -> 1 x 1 -> norm -> relu

A depthwise convolution has as many groups as channels: a window of its own for each channel, which
sees no other.  The 1 x 1 behind it mixes the channels.  Together they do the work of one 3 x 3 of
all channels at an eighth to a ninth of the cost.  Normalisation is two layers in Caffe: BatchNorm
and Scale, see models/resnet20.py.

Published result: 70.8 % of the validation pictures, among the best five 89.9 % (the paper: 70.6 %).
Source: Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications (2017); the net is that of S. Zhang's release for Caffe, whose weights it takes.  Its
settings were not released: those below are ours.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "imagenet"  # --data takes a folder of your own, with a folder of pictures for each class
SIDE = 224
MEAN = (103.94, 116.78, 123.68)  # blue, green, red
# channels and stride of each pair of convolutions
PAIRS = {"conv2_1": (64, 1), "conv2_2": (128, 2), "conv3_1": (128, 1), "conv3_2": (256, 2),
         "conv4_1": (256, 1), "conv4_2": (512, 2), "conv5_1": (512, 1), "conv5_2": (512, 1),
         "conv5_3": (512, 1), "conv5_4": (512, 1), "conv5_5": (512, 1), "conv5_6": (1024, 2),
         "conv6": (1024, 1)}


def net(batch_size: int = 64, classes: int = 1000, shape: tuple = (3, SIDE, SIDE)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("MobileNet")
    n.data = pictures(batch_size, shape)
    n.label = L.Input(shape=dict(dim=[batch_size]))
    channels = 32
    top = convolution(n, "conv1", n.data, channels, kernel_size=3, pad=1, stride=2)
    for name, (num_output, stride) in PAIRS.items():
        top = convolution(n, f"{name}/dw", top, channels, kernel_size=3, pad=1, stride=stride,
                          group=channels)
        top = convolution(n, f"{name}/sep", top, num_output, kernel_size=1)
        channels = num_output
    n.pool6 = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    n.fc7 = L.Convolution(n.pool6, num_output=classes, kernel_size=1,
                          param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)],
                          weight_filler=dict(type="msra"))
    n.accuracy = L.Accuracy(n.fc7, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.fc7, n.label)
    return n.to_proto()


def pictures(batch_size: int, shape: tuple):
    """Pictures less the mean colour, about -2 to 2: of large ones a window of 224 x 224, mirrored
    or not."""
    crop = SIDE if min(shape[1:]) >= SIDE else 0
    size = (crop, crop) if crop else shape[1:]
    return L.Input(shape=dict(dim=[batch_size, shape[0], *size]), transform_param=dict(
        mean_value=MEAN[:shape[0]], scale=0.017, crop_size=crop, mirror=True))


def convolution(n: NetSpec, name: str, bottom, num_output: int, **window):
    """A convolution without a bias, normalised, with a ReLU."""
    top = n[name] = L.Convolution(bottom, num_output=num_output, bias_term=False,
                                  weight_filler=dict(type="msra"), **window)
    top = n[f"{name}/bn"] = L.BatchNorm(top, moving_average_fraction=0.9, in_place=True)
    top = n[f"{name}/scale"] = L.Scale(top, bias_term=True, in_place=True)
    top = n[f"{name}/relu"] = L.ReLU(top, in_place=True)
    return top


def solver() -> SolverParameter:
    """60 epochs of ImageNet; the rate falls in a straight line to 0."""
    return SolverParameter(base_lr=0.05, lr_policy="poly", power=1, momentum=0.9,
                           weight_decay=0.00004, max_iter=1200000, display=40, average_loss=40,
                           test_interval=5000, snapshot=20000,
                           test_initialization=False)  # BatchNorm has seen nothing to go by

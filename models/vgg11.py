"""VGG-11 on ImageNet, configuration A of the paper: nothing but 3 x 3, deep; 133 million weights.

    data (32, 3, 224, 224) -> conv1_1 (64)                  -> max pool1 (112 x 112)
                           -> conv2_1 (128)                 -> max pool2 (56 x 56)
                           -> conv3_1 (256), conv3_2 (256)  -> max pool3 (28 x 28)
                           -> conv4_1 (512), conv4_2 (512)  -> max pool4 (14 x 14)
                           -> conv5_1 (512), conv5_2 (512)  -> max pool5 (7 x 7)
                           -> fc6 (4096) -> fc7 (4096) -> fc8 (1000) -> loss

A ReLU follows each but fc8; a dropout fc6 and fc7.  Two convolutions of 3 x 3 see as much as one of
5 x 5, with fewer weights and a ReLU more between.

Published result: 70.4 % of the validation pictures, among the best five 89.6 %, after 370,000
iterations.
Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition
(2014); weights drawn after Glorot and Bengio (2010), as the paper came to recommend.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "imagenet"  # --data takes a folder of your own, with a folder of pictures for each class
SIDE = 224
MEAN = (104, 117, 123)  # blue, green, red
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
LEARN = [dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)]  # weights, bias


def net(batch_size: int = 32, classes: int = 1000, shape: tuple = (3, SIDE, SIDE)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("VGG11")
    top = n.data = pictures(batch_size, shape)
    n.label = L.Input(shape=dict(dim=[batch_size]))
    for stage, channels in enumerate(STAGES, start=1):
        for k, num_output in enumerate(channels, start=1):
            top = n[f"conv{stage}_{k}"] = L.Convolution(
                top, num_output=num_output, kernel_size=3, pad=1, param=LEARN,
                weight_filler=dict(type="xavier"))
            top = n[f"relu{stage}_{k}"] = L.ReLU(top, in_place=True)
        top = n[f"pool{stage}"] = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    for i in (6, 7):
        top = n[f"fc{i}"] = inner_product(top, 4096)
        top = n[f"relu{i}"] = L.ReLU(top, in_place=True)
        top = n[f"drop{i}"] = L.Dropout(top, dropout_ratio=0.5, in_place=True)
    n.fc8 = inner_product(top, classes)
    n.accuracy = L.Accuracy(n.fc8, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.fc8, n.label)
    return n.to_proto()


def pictures(batch_size: int, shape: tuple):
    """Pictures less the mean colour: of large ones a window of 224 x 224, mirrored or not.

    They are scaled to about -2 .. 2: of weights drawn after Glorot the scores are as large as the
    pixels, and training with larger ones would begin with a loss of 30 instead of 7.
    """
    crop = SIDE if min(shape[1:]) >= SIDE else 0
    size = (crop, crop) if crop else shape[1:]
    return L.Input(shape=dict(dim=[batch_size, shape[0], *size]), transform_param=dict(
        mean_value=MEAN[:shape[0]], scale=0.017, crop_size=crop, mirror=True))


def inner_product(bottom, num_output: int):
    """``y = x @ W.T + b``"""
    return L.InnerProduct(bottom, num_output=num_output, param=LEARN,
                          weight_filler=dict(type="xavier"))


def solver() -> SolverParameter:
    """The paper's settings: batches of 256, here 8 times 32, and the rate 3 times down to a tenth.

    When the paper lowers it, its validation accuracy says; here every 100,000 iterations do.
    """
    return SolverParameter(base_lr=0.01, lr_policy="step", stepsize=100000, gamma=0.1,
                           momentum=0.9, weight_decay=0.0005, max_iter=370000, iter_size=8,
                           display=20, average_loss=20, test_interval=1000, snapshot=10000)

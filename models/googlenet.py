"""GoogLeNet on ImageNet: nine inceptions, each of which looks at several sizes at once.

    data (32, 3, 224, 224) -> conv1 (64, 112 x 112)              -> max pool1 (56 x 56)
                           -> conv2 (192)                        -> max pool2 (28 x 28)
                           -> inception 3a (256), 3b (480)       -> max pool3 (14 x 14)
                           -> inception 4a (512) .. 4e (832)     -> max pool4 (7 x 7)
                           -> inception 5a (832), 5b (1024)      -> average pool5
                           -> dropout -> classifier (1000) -> loss

    inception:  x -> 1 x 1                 -> concat
                  -> 1 x 1 -> 3 x 3        /
                  -> 1 x 1 -> 5 x 5       /
                  -> max pool -> 1 x 1   /

The 1 x 1 in front make few channels of many for the larger windows, which would cost too much
otherwise: 7 million weights do more than AlexNet's 61.  While it learns, two small classifiers
behind 4a and 4d bring their losses in, with a weight of 0.3, where the gradient of the last one
arrives faint; they are left out in phase TEST.

Published result: 68.7 % of the validation pictures, among the best five 88.9 %, after 2,400,000
iterations.
Source: Szegedy et al., Going Deeper with Convolutions (2014); net and settings are those of Caffe's
bvlc_googlenet (quick_solver), whose weights it takes.
"""

from __future__ import annotations

from minicaffe import TEST, TRAIN, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "imagenet"  # --data takes a folder of your own, with a folder of pictures for each class
SIDE = 224
MEAN = (104, 117, 123)  # blue, green, red
# channels of 1x1; of 3x3_reduce, 3x3; of 5x5_reduce, 5x5; of pool_proj
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
LEARN = [dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)]  # weights, bias


def net(batch_size: int = 32, classes: int = 1000, shape: tuple = (3, SIDE, SIDE)) -> NetParameter:
    """The net, with its loss, in phase TRAIN two losses more, and in phase TEST its accuracy."""
    n = NetSpec("GoogLeNet")
    n.data = pictures(batch_size, shape)
    n.label = L.Input(shape=dict(dim=[batch_size]))
    top = stem(n, n.data)
    for block in INCEPTIONS:
        top = inception(n, block, top)
        if block in ("3b", "4e"):
            top = n[f"pool{block[0]}/3x3_s2"] = pooling(top)
        elif block in ("4a", "4d"):
            side_loss(n, "loss1" if block == "4a" else "loss2", top, classes)
    # where the published net has 7 x 7: the same, and pictures may have any size from 47 x 47 on
    top = n["pool5/7x7_s1"] = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    top = n["pool5/drop_7x7_s1"] = L.Dropout(top, dropout_ratio=0.4, in_place=True)
    top = n["loss3/classifier"] = inner_product(top, classes)
    n.accuracy = L.Accuracy(top, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(top, n.label)
    return n.to_proto()


def pictures(batch_size: int, shape: tuple):
    """Pictures less the mean colour: of large ones a window of 224 x 224, mirrored or not."""
    crop = SIDE if min(shape[1:]) >= SIDE else 0
    size = (crop, crop) if crop else shape[1:]
    return L.Input(shape=dict(dim=[batch_size, shape[0], *size]), transform_param=dict(
        mean_value=MEAN[:shape[0]], crop_size=crop, mirror=True))


def stem(n: NetSpec, bottom):
    """Down to an eighth of the size before the first inception."""
    top = convolution(n, "conv1/7x7_s2", bottom, 64, kernel_size=7, pad=3, stride=2)
    top = n["pool1/3x3_s2"] = pooling(top)
    top = n["pool1/norm1"] = L.LRN(top, local_size=5, alpha=1e-4, beta=0.75)
    top = convolution(n, "conv2/3x3_reduce", top, 64)
    top = convolution(n, "conv2/3x3", top, 192, kernel_size=3, pad=1)
    top = n["conv2/norm2"] = L.LRN(top, local_size=5, alpha=1e-4, beta=0.75)
    top = n["pool2/3x3_s2"] = pooling(top)
    return top


def inception(n: NetSpec, block: str, bottom):
    """Four ways side by side; the map keeps its size, their channels are joined."""
    name = f"inception_{block}"
    ones, reduce3, threes, reduce5, fives, projected = INCEPTIONS[block]
    way1 = convolution(n, f"{name}/1x1", bottom, ones)
    way3 = convolution(n, f"{name}/3x3_reduce", bottom, reduce3)
    way3 = convolution(n, f"{name}/3x3", way3, threes, kernel_size=3, pad=1)
    way5 = convolution(n, f"{name}/5x5_reduce", bottom, reduce5)
    way5 = convolution(n, f"{name}/5x5", way5, fives, kernel_size=5, pad=2)
    pool = n[f"{name}/pool"] = pooling(bottom, stride=1, pad=1)
    pool = convolution(n, f"{name}/pool_proj", pool, projected)
    top = n[f"{name}/output"] = L.Concat(way1, way3, way5, pool)
    return top


def side_loss(n: NetSpec, name: str, bottom, classes: int) -> None:
    """A small classifier and its loss, for phase TRAIN alone."""
    only = dict(include=dict(phase=TRAIN))
    top = n[f"{name}/ave_pool"] = L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=5, stride=3,
                                            **only)
    top = convolution(n, f"{name}/conv", top, 128, **only)
    top = n[f"{name}/fc"] = inner_product(top, 1024, bias=0.2, **only)
    top = n[f"{name}/relu_fc"] = L.ReLU(top, in_place=True, **only)
    top = n[f"{name}/drop_fc"] = L.Dropout(top, dropout_ratio=0.7, in_place=True, **only)
    top = n[f"{name}/classifier"] = inner_product(top, classes, **only)
    n[f"{name}/loss"] = L.SoftmaxWithLoss(top, n.label, loss_weight=0.3, **only)


def convolution(n: NetSpec, name: str, bottom, num_output: int, kernel_size: int = 1,
                include: dict | None = None, **window):
    """A convolution with a ReLU, both only where ``include`` says, if it is given."""
    only = dict(include=include) if include else {}
    top = n[name] = L.Convolution(bottom, num_output=num_output, kernel_size=kernel_size,
                                  param=LEARN, weight_filler=dict(type="xavier"),
                                  bias_filler=dict(value=0.2), **only, **window)
    top = n[f"{name}/relu"] = L.ReLU(top, in_place=True, **only)
    return top


def pooling(bottom, stride: int = 2, pad: int = 0):
    """The largest of each 3 x 3."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=stride, pad=pad)


def inner_product(bottom, num_output: int, bias: float = 0, **more):
    """``y = x @ W.T + b``"""
    return L.InnerProduct(bottom, num_output=num_output, param=LEARN,
                          weight_filler=dict(type="xavier"), bias_filler=dict(value=bias), **more)


def solver() -> SolverParameter:
    """The published quick settings: the rate falls as ``0.01 * sqrt(1 - iteration / 2,400,000)``,
    over 60 epochs."""
    return SolverParameter(base_lr=0.01, lr_policy="poly", power=0.5, momentum=0.9,
                           weight_decay=0.0002, max_iter=2400000, display=40, average_loss=40,
                           test_interval=4000, snapshot=40000, test_initialization=False)

"""SqueezeNet 1.1 on ImageNet: as good as AlexNet with a fiftieth of its weights, 1.2 million.

    data (32, 3, 227, 227) -> conv1 (64, 113 x 113)          -> max pool1 (56 x 56)
                           -> fire2 (128), fire3 (128)       -> max pool3 (28 x 28)
                           -> fire4 (256), fire5 (256)       -> max pool5 (14 x 14)
                           -> fire6, fire7 (384), fire8, fire9 (512)
                           -> conv10 (1000) -> average pool10 -> loss

    fire:  x -> squeeze 1 x 1 -> expand 1 x 1 -> concat
                              -> expand 3 x 3 /

A fire squeezes what it sees into few channels, so that the convolutions of 3 x 3, which cost most,
read little.  There is no inner product: conv10 makes a map for each class, and its mean is the
score; so pictures may have any size from 17 x 17 on.

Published result: 57.5 % of the validation pictures, among the best five 80.3 %, as of AlexNet.
Source: Iandola et al., SqueezeNet: AlexNet-level Accuracy with 50x Fewer Parameters and < 0.5 MB
Model Size (2016); net and settings are those of the released version 1.1, whose weights it takes.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "imagenet"  # --data takes a folder of your own, with a folder of pictures for each class
SIDE = 227
MEAN = (104, 117, 123)  # blue, green, red
SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}  # channels, by fire


def net(batch_size: int = 32, classes: int = 1000, shape: tuple = (3, SIDE, SIDE)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("SqueezeNet")
    n.data = pictures(batch_size, shape)
    n.label = L.Input(shape=dict(dim=[batch_size]))
    top = convolution(n, "conv1", n.data, 64, kernel_size=3, stride=2)
    top = n.pool1 = pooling(top)
    for i, channels in SQUEEZED.items():
        top = fire(n, f"fire{i}", top, channels)
        if i in (3, 5):
            top = n[f"pool{i}"] = pooling(top)
    n.drop9 = L.Dropout(top, dropout_ratio=0.5, in_place=True)
    # the bias, 0 in the released net, keeps each class's ReLU open at first: with few classes one
    # that is closed for every picture would stay so
    top = convolution(n, "conv10", n.drop9, classes, kernel_size=1, bias_filler=dict(value=1),
                      weight_filler=dict(type="gaussian", std=0.01))
    n.pool10 = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    n.accuracy = L.Accuracy(n.pool10, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.pool10, n.label)
    return n.to_proto()


def pictures(batch_size: int, shape: tuple):
    """Pictures less the mean colour; of large ones a window of 227 x 227."""
    crop = SIDE if min(shape[1:]) >= SIDE else 0
    size = (crop, crop) if crop else shape[1:]
    return L.Input(shape=dict(dim=[batch_size, shape[0], *size]), transform_param=dict(
        mean_value=MEAN[:shape[0]], crop_size=crop))


def fire(n: NetSpec, name: str, bottom, squeezed: int):
    """So many channels in the middle, and 4 times as many from each of the two expansions."""
    middle = convolution(n, f"{name}/squeeze1x1", bottom, squeezed, kernel_size=1)
    small = convolution(n, f"{name}/expand1x1", middle, 4 * squeezed, kernel_size=1)
    large = convolution(n, f"{name}/expand3x3", middle, 4 * squeezed, kernel_size=3, pad=1)
    top = n[f"{name}/concat"] = L.Concat(small, large)
    return top


def convolution(n: NetSpec, name: str, bottom, num_output: int, **params):
    """A convolution with a ReLU."""
    params.setdefault("weight_filler", dict(type="xavier"))
    top = n[name] = L.Convolution(bottom, num_output=num_output, **params)
    top = n[f"{name}/relu"] = L.ReLU(top, in_place=True)
    return top


def pooling(bottom):
    """3 x 3 with a stride of 2: half the size, each number seen by more than one window."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)


def solver() -> SolverParameter:
    """The published settings: batches of 512, 16 times 32; the rate falls in a straight line to 0.

    An iteration is 16 batches: on few pictures of your own take --batch-size 2 or 4.
    """
    return SolverParameter(base_lr=0.04, lr_policy="poly", power=1, momentum=0.9,
                           weight_decay=0.0002, max_iter=170000, iter_size=16, display=40,
                           average_loss=40, test_interval=1000, snapshot=1000,
                           test_initialization=False)

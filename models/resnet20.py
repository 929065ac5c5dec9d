"""ResNet-20 on CIFAR-10: nine blocks of two convolutions, each block with a way around it.

    data (128, 3, 32, 32) -> conv1 (16) -> 3 blocks (16, 32 x 32)
                                        -> 3 blocks (32, 16 x 16)
                                        -> 3 blocks (64,  8 x  8) -> average -> ip (10) -> loss

    block:  x -> conv -> norm -> relu -> conv -> norm -> + -> relu
             \\___________________________________________/

A block computes ``relu(x + f(x))``: it only has to learn what to add, and the gradient reaches the
first layer by the way around.  Normalisation is two layers in Caffe: BatchNorm brings each channel
to mean 0 and variance 1 over the batch, Scale then learns the spread and the offset it should have.
Where a block halves the map and doubles the channels, the way around takes every second pixel and
fills the new channels with zeros (the paper's option A, which has no weights).

Published result: 91.25 % of the test pictures after 64,000 iterations.
Source: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition (2015), section 4.2;
settings as there: crops of the picture padded by 4, mirrored or not, less the mean picture.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.proto import NetParameter, SolverParameter

DATA = "cifar10"


def net(batch_size: int = 128, classes: int = 10, shape: tuple = (3, 32, 32),
        depth: int = 20) -> NetParameter:
    """The net of ``depth`` 6 n + 2 layers, with its loss, and in phase TEST its accuracy."""
    n = NetSpec(f"ResNet{depth}")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]), transform_param=dict(
        subtract_mean="image", scale=1 / 64, pad=4, crop_size=shape[1], mirror=True))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    top = convolution(n, "conv1", n.data, 16)
    top = n.relu1 = L.ReLU(top, in_place=True)
    for stage, channels in enumerate((16, 32, 64), start=1):
        for k in range(1, (depth - 2) // 6 + 1):
            halves = k == 1 and stage > 1
            top = block(n, f"block{stage}_{k}", top, channels, halves)
    n.pool = L.Pooling(top, pool=P.Pooling.AVE, global_pooling=True)
    n.ip = L.InnerProduct(n.pool, num_output=classes, weight_filler=dict(type="msra"))
    n.accuracy = L.Accuracy(n.ip, n.label, include=dict(phase=TEST))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    return n.to_proto()


def block(n: NetSpec, name: str, bottom, channels: int, halves: bool):
    """``relu(x + f(x))``; with ``halves`` the map is half as high and wide, and twice as deep."""
    top = convolution(n, f"{name}_conv1", bottom, channels, stride=2 if halves else 1)
    top = n[f"{name}_relu1"] = L.ReLU(top, in_place=True)
    top = convolution(n, f"{name}_conv2", top, channels)
    way = around(n, name, bottom) if halves else bottom
    top = n[f"{name}_sum"] = L.Eltwise(way, top, operation=P.Eltwise.SUM)
    top = n[f"{name}_relu2"] = L.ReLU(top, in_place=True)
    return top


def around(n: NetSpec, name: str, bottom):
    """Every second pixel of each row and column, and as many channels of zeros again."""
    half = n[f"{name}_half"] = L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=1, stride=2,
                                         round_mode=P.Pooling.FLOOR)
    zeros = n[f"{name}_zeros"] = L.Power(half, scale=0)
    way = n[f"{name}_around"] = L.Concat(half, zeros)
    return way


def convolution(n: NetSpec, name: str, bottom, num_output: int, stride: int = 1):
    """3 x 3 without a bias, then normalised: the offset that Scale learns does a bias's work."""
    top = n[name] = L.Convolution(bottom, num_output=num_output, kernel_size=3, pad=1,
                                  stride=stride, bias_term=False, weight_filler=dict(type="msra"))
    top = n[f"{name}_norm"] = L.BatchNorm(top, moving_average_fraction=0.9, in_place=True)
    top = n[f"{name}_scale"] = L.Scale(top, bias_term=True, in_place=True)
    return top


def solver() -> SolverParameter:
    """The paper's settings: 0.1 to iteration 32,000, a 10th to 48,000, a 100th to 64,000."""
    return SolverParameter(base_lr=0.1, lr_policy="multistep", stepvalue=[32000, 48000], gamma=0.1,
                           momentum=0.9, weight_decay=0.0001, max_iter=64000, display=100,
                           average_loss=100, test_interval=1000, snapshot=4000,
                           test_initialization=False)  # BatchNorm has seen nothing to go by

"""The nets that are measured, what they are fed, and how much work they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent.parent))

from minicaffe import TRAIN, Net  # noqa: E402
from minicaffe.proto import NetParameter, SolverParameter  # noqa: E402
from minicaffe.tools import deploy, models  # noqa: E402

RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4  # too low a rate to change the numbers' size


@dataclass(frozen=True)
class Case:
    """A net of models/ with the batch it is trained with.

    Attributes:
        classes: of its labels.  shape: of a sample; None: as the model has them.
        caffe: milliseconds of a training iteration of Caffe 1.0 with OpenBLAS, on 2 cores of an AMD
            EPYC 9004 (Zen 4), forward and backward; None: not measured.
        options: further arguments of the model's net().
        small: (batch, shape) on which gradients are compared.
    """

    name: str
    batch: int
    classes: int | None = None
    shape: tuple[int, ...] | None = None
    caffe: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    small: tuple[int, tuple[int, ...] | None] = (4, None)

    def net(self, batch: int | None = None, shape: tuple[int, ...] | None = None) -> NetParameter:
        """The net as it is trained, for a batch and samples of a shape (default: its own)."""
        wanted = dict(self.options, classes=self.classes, shape=shape or self.shape)
        return models.load(self.name).net(batch_size=batch or self.batch,
                                          **{k: v for k, v in wanted.items() if v is not None})

    def deployed(self, batch: int, shape: tuple[int, ...] | None = None) -> NetParameter:
        """The net as it is used: without labels and losses."""
        trained = self.net(batch, shape)
        shapes = {layer.name: layer.input_param for layer in trained.layer}
        net = deploy.deploy_net(trained)
        for layer in net.layer:
            if layer.type == "Input":
                layer.input_param.CopyFrom(shapes[layer.name])
                layer.ClearField("transform_param")
        return net


CASES = {case.name: case for case in (
    Case("mlp", 64, caffe=1.25),
    Case("lenet", 64, caffe=18.0),
    Case("cifar10_quick", 100, caffe=148),
    Case("cifar10_full", 100, caffe=161),
    Case("resnet20", 128, caffe=790),
    Case("alexnet", 32, caffe=1303, small=(4, (3, 131, 131))),
    Case("squeezenet", 16, caffe=514, small=(4, (3, 131, 131))),
    Case("mobilenet", 16, caffe=1292, small=(8, (3, 96, 96))),
    Case("googlenet", 16, small=(4, (3, 128, 128))),
    Case("vgg11", 8, small=(4, (3, 64, 64))),
    Case("lstm", 32, shape=(1, 50, 128), options=dict(units=256)),
)}


def available() -> list[str]:
    """The names of the cases whose net is in models/."""
    return [name for name in CASES if name in models.names()]


def solver_param(net: NetParameter) -> SolverParameter:
    """SGD with momentum and weight decay, without tests, displays and snapshots."""
    return SolverParameter(net_param=net, base_lr=RATE, lr_policy="fixed", momentum=MOMENTUM,
                           weight_decay=DECAY, random_seed=1)


def inputs(net: NetParameter, classes: int = 10, seed: int = 0) -> dict[str, numpy.ndarray]:
    """Random numbers for each Input of a net: labels, beginnings of sequences, or a sample."""
    rng = numpy.random.default_rng(seed)
    made = {}
    for layer in net.layer:
        for top, shape in zip(layer.top, layer.input_param.shape if layer.type == "Input" else ()):
            if top == "label":
                made[top] = rng.integers(0, classes, tuple(shape.dim)).astype(numpy.float32)
            elif top == "cont":  # (T, N): each sequence begins at the first step
                made[top] = numpy.ones(tuple(shape.dim), numpy.float32)
                made[top][0] = 0
            else:
                made[top] = rng.standard_normal(tuple(shape.dim), dtype=numpy.float32)
    return made


def shapes_of(net: NetParameter, phase: int = TRAIN) -> Net:
    """A net to read shapes from; it draws no random weights, and compiles and computes nothing."""
    bare = NetParameter()
    bare.CopyFrom(net)
    for layer in bare.layer:
        for _, value in layer.ListFields():
            for name in ("weight_filler", "bias_filler", "filler"):
                if name in getattr(getattr(value, "DESCRIPTOR", None), "fields_by_name", ()):
                    value.ClearField(name)
    return Net(bare, phase, device="numpy")


def settle(net: Net) -> Net:
    """A net that nobody trained has measured nothing yet: let each BatchNorm have mean 0 and
    variance 1."""
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob, value in zip(layer.blobs, (0, 1, 1)):
                blob.data[...] = value
    return net


def work(net: Net) -> float:
    """The floating-point operations of products in one iteration of a net (in TEST: one pass).

    Two for each weight and place where it is used, in forward, and as many again for the gradient
    of the weights and for that of what they are multiplied with, where these are wanted.
    """
    total = 0
    for index in range(len(net.layers)):
        learns = net.phase == TRAIN and net.graph.layer_needs_backward[index]
        input_learns = learns and net.graph.bottom_needs_backward[index][0]
        for operations, state in _products(net, index):
            total += operations * (1 + learns + (learns if state else input_learns))
    return total


def _products(net: Net, index: int) -> Iterator[tuple[int, bool]]:
    """Operations of each product in a layer's forward, and whether it takes a layer's own state."""
    layer, top = net.layers[index], net.graph.tops[index]
    if layer.type in ("Convolution", "InnerProduct"):
        weight = layer.parameters[0]
        yield 2 * top[0].count * weight.count // layer.outputs, False
    elif layer.type == "LSTM":
        steps = top[0].count // layer.parameters[-1].shape[1]  # of all sequences
        yield 2 * steps * layer.parameters[0].count, False
        yield 2 * steps * layer.parameters[-1].count, True



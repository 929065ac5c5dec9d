"""A net of ours as a PyTorch module: the same layers and parameters, written as its users do.

``Translation(net)`` reads the layers and shapes of a net; ``build()`` makes the module, which takes
the net's inputs and gives the loss (phase TRAIN) or the net's output (phase TEST).
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from functools import partial

import numpy
import torch
from torch import fx, nn
from torch.nn import functional as F

from minicaffe import TRAIN, Net
from minicaffe.window import Window


class Translation:
    """The graph of a net, the modules that its nodes call, and whose parameters they have.

    Attributes:
        pairs: (name in the module, layer, index of its blob) of each parameter.

    Errors: ValueError for a layer, or a way to use one, that is not known here.
    """

    def __init__(self, net: Net):
        self.net, self.graph = net, fx.Graph()
        self.factories: dict[str, Callable[[], nn.Module]] = {}
        self.pairs: list[tuple[str, str, int]] = []
        self.statistics: list[tuple[str, str]] = []  # (module, layer) of each BatchNorm
        self.fused: set[str] = set()  # layers that the module of the layer before them does
        nodes: dict[str, fx.Node] = {}
        for index, layer in enumerate(net.layers):
            if layer.type not in TYPES:
                raise ValueError(f"{layer.where} has no translation")
            made = TYPES[layer.type](self, layer, index, *(nodes[b] for b in layer.param.bottom))
            nodes.update(zip(layer.param.top, made if isinstance(made, tuple) else (made,)))
        self.graph.output(self._output(nodes))

    def _output(self, nodes: dict[str, fx.Node]) -> fx.Node:
        """The sum of the losses by their weights, or the net's last output."""
        if self.net.phase != TRAIN:
            return nodes[self.net.outputs[-1]]
        terms = [nodes[name] if weight == 1 else self.function(operator.mul, nodes[name], weight)
                 for name, weight in self.net.loss_weights.items()]
        return functools.reduce(lambda a, b: self.function(operator.add, a, b), terms)

    def build(self) -> fx.GraphModule:
        """The module, with the initial weights that PyTorch's modules draw."""
        module = fx.GraphModule({name: make() for name, make in self.factories.items()}, self.graph)
        module.graph.eliminate_dead_code()
        for node in module.graph.find_nodes(op="placeholder"):
            if not node.users:
                module.graph.erase_node(node)
        module.delete_all_unused_submodules()
        module.recompile()
        return module.train(self.net.phase == TRAIN)

    def call(self, layer, make: Callable[[], nn.Module], *nodes: fx.Node) -> fx.Node:
        """A node that calls a module, which gets the layer's name."""
        self.factories[module_name(layer)] = make
        return self.graph.call_module(module_name(layer), nodes)

    def function(self, function: Callable, *args) -> fx.Node:
        """A node that calls a function."""
        return self.graph.call_function(function, args)

    def learns(self, layer, *names: str) -> None:
        """The layer's blobs are these parameters of its module."""
        self.pairs += [(f"{module_name(layer)}.{name}", layer.name, i)
                       for i, name in enumerate(names[:len(layer.parameters)])]

    @torch.no_grad()
    def copy(self, net: Net, module: nn.Module) -> None:
        """Copy the parameters and statistics of a net of this kind to the module."""
        state = module.state_dict()
        for name, layer, index in self.pairs:
            state[name].copy_(torch.from_numpy(as_torch(name, net.params[layer][index].data)))
        for name, layer in self.statistics:
            mean, variance, weight = (blob.data for blob in net.params[layer])
            state[f"{name}.running_mean"].copy_(torch.from_numpy(mean / (weight or 1)))
            state[f"{name}.running_var"].copy_(torch.from_numpy(variance / (weight or 1)))

    def gradients(self, module: nn.Module) -> dict[tuple[str, int], numpy.ndarray]:
        """The gradient of each parameter, by our layer and the index of its blob, in our order."""
        parameters = dict(module.named_parameters())
        return {(layer, index): as_torch(name, parameters[name].grad.numpy())
                for name, layer, index in self.pairs}


def inputs_of(module: fx.GraphModule) -> list[str]:
    """The names of the net's inputs that a module takes, in order."""
    return [node.target for node in module.graph.find_nodes(op="placeholder")]


def module_name(layer) -> str:
    """A layer's name as a Python name."""
    return re.sub(r"\W", "_", layer.name)


def as_torch(name: str, array: numpy.ndarray) -> numpy.ndarray:
    """A parameter in the order of PyTorch, or back: the gates of an LSTM are i, f, o, g here and
    i, f, g, o there."""
    if not name.endswith(("_ih_l0", "_hh_l0")):
        return array
    gates = array.reshape(4, -1, *array.shape[1:])
    return gates[[0, 1, 3, 2]].reshape(array.shape)


# ------------------------------------------------------------- layers by their type: (to, layer,
# index, *bottoms) -> tops

def _input(to, layer, index):
    return tuple(to.graph.placeholder(name) for name in layer.param.top)


def _convolution(to, layer, index, x):
    shape, param = to.net.graph.bottoms[index][0].shape, layer.param.convolution_param
    window = Window.of_convolution(param, len(shape) - 2, layer.where)
    to.learns(layer, "weight", "bias")
    return to.call(layer, partial(
        nn.Conv2d, shape[1], param.num_output, window.kernel, window.stride, window.pad,
        window.dilation, param.group, param.bias_term), x)


def _inner_product(to, layer, index, x):
    shape, param = to.net.graph.bottoms[index][0].shape, layer.param.inner_product_param
    if param.transpose:
        raise ValueError(f"{layer.where}: transposed weights")
    if param.axis + 1 < len(shape):
        x = to.function(torch.flatten, x, param.axis)
    to.learns(layer, "weight", "bias")
    return to.call(layer, partial(nn.Linear, math.prod(shape[param.axis:]), param.num_output,
                                  param.bias_term), x)


def _pooling(to, layer, index, x):
    shape, param = to.net.graph.bottoms[index][0].shape, layer.param.pooling_param
    window = Window.of_pooling(param, shape[2:], layer.where)
    if param.pool == param.MAX:
        make = partial(nn.MaxPool2d, window.kernel, window.stride, window.pad,
                       ceil_mode=window.ceil)
    elif all(k == 1 for k in window.kernel) and not any(window.pad):
        steps = (slice(None, None, stride) for stride in window.stride)
        return to.function(operator.getitem, x, (slice(None), slice(None), *steps))
    elif param.global_pooling:
        make = partial(nn.AdaptiveAvgPool2d, 1)
    else:
        make = partial(nn.AvgPool2d, window.kernel, window.stride, window.pad, window.ceil)
    return to.call(layer, make, x)


def _relu(to, layer, index, x):
    in_place, slope = layer.param.top == layer.param.bottom, layer.param.relu_param.negative_slope
    make = partial(nn.LeakyReLU, slope, in_place) if slope else partial(nn.ReLU, in_place)
    return to.call(layer, make, x)


def _dropout(to, layer, index, x):
    """Never in place: the ReLU before it needs what it put out for its gradient."""
    return to.call(layer, partial(nn.Dropout, layer.param.dropout_param.dropout_ratio), x)


def _lrn(to, layer, index, x):
    param = layer.param.lrn_param
    if param.norm_region == param.WITHIN_CHANNEL:
        return to.call(layer, partial(WithinChannel, param.local_size, param.alpha, param.beta), x)
    return to.call(layer, partial(nn.LocalResponseNorm, param.local_size, param.alpha, param.beta,
                                  param.k), x)


class WithinChannel(nn.Module):
    """``x / (1 + alpha * mean of x^2 in a square around x) ^ beta``."""

    def __init__(self, size: int, alpha: float, beta: float):
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = F.avg_pool2d(x * x, self.size, 1, self.size // 2)
        return x * (1 + self.alpha * mean) ** -self.beta


def _batch_norm(to, layer, index, x):
    """BatchNorm and the Scale behind it are one module."""
    param, scale = layer.param.batch_norm_param, to.net.layers[index + 1]
    if (scale.type != "Scale" or scale.param.bottom != layer.param.top
            or not scale.param.scale_param.bias_term):
        raise ValueError(f"{layer.where} without a Scale with a bias behind it")
    name = module_name(layer)
    to.pairs += [(f"{name}.weight", scale.name, 0), (f"{name}.bias", scale.name, 1)]
    to.statistics.append((name, layer.name))
    to.fused.add(scale.name)
    return to.call(layer, partial(nn.BatchNorm2d, layer.channels, param.eps,
                                  1 - param.moving_average_fraction), x)


def _scale(to, layer, index, x):
    if layer.name not in to.fused:
        raise ValueError(f"{layer.where} without a BatchNorm before it")
    return x


def _eltwise(to, layer, index, *xs):
    param = layer.param.eltwise_param
    if param.operation != param.SUM or any(c != 1 for c in param.coeff):
        raise ValueError(f"{layer.where}: an operation other than a plain SUM")
    for i, blob in enumerate(layer.param.bottom):  # what no gradient needs may be written over
        if to.net.layers[_maker(to, index, blob)].type in ("BatchNorm", "Scale", "Convolution"):
            xs = (xs[i], *xs[:i], *xs[i + 1:])
            return functools.reduce(lambda a, b: to.function(operator.iadd, a, b), xs)
    return functools.reduce(lambda a, b: to.function(operator.add, a, b), xs)


def _maker(to, index: int, blob: str) -> int:
    """The index of the layer that wrote a blob last before another reads it."""
    return next(i for i in reversed(range(index)) if blob in to.net.layers[i].param.top)


def _power(to, layer, index, x):
    param = layer.param.power_param
    if param.scale == 0 and param.shift == 0 and param.power > 0:
        return to.function(torch.zeros_like, x)
    for function, number, same in ((operator.mul, param.scale, 1), (operator.add, param.shift, 0),
                                   (operator.pow, param.power, 1)):
        x = x if number == same else to.function(function, x, number)
    return x


def _lstm(to, layer, index, x, *cont):
    """The sequences of a batch begin at its first step, as those of nn.LSTM do."""
    size, wanted = to.net.graph.bottoms[index][0].shape[-1], layer.param.recurrent_param.num_output
    to.learns(layer, "weight_ih_l0", "bias_ih_l0", "weight_hh_l0")

    def make():
        module = nn.LSTM(size, wanted)
        nn.init.zeros_(module.bias_hh_l0)  # there is but one bias here
        return module

    return to.function(operator.getitem, to.call(layer, make, x), 0)


def _softmax_loss(to, layer, index, scores, labels):
    shape, axis = to.net.graph.bottoms[index][0].shape, layer.classes
    if axis == len(shape) - 1 > 1:
        scores = to.function(torch.flatten, scores, 0, axis - 1)
        labels = to.function(torch.flatten, labels)
    elif math.prod(shape[axis + 1:]) == 1 < len(shape) - axis:
        scores = to.function(torch.flatten, scores, axis)
    return to.function(F.cross_entropy, scores, labels)


def _slice(to, layer, index, x):
    sizes = [top.shape[layer.param.slice_param.axis] for top in to.net.graph.tops[index]]
    parts = to.function(torch.split, x, sizes, layer.param.slice_param.axis)
    return tuple(to.function(operator.getitem, parts, i) for i in range(len(sizes)))


def _reshape(to, layer, index, x):
    return to.function(torch.reshape, x, (-1, *to.net.graph.tops[index][0].shape[1:]))


TYPES: dict[str, Callable] = {
    "Input": _input, "Convolution": _convolution, "InnerProduct": _inner_product,
    "Pooling": _pooling, "ReLU": _relu, "Dropout": _dropout, "LRN": _lrn,
    "BatchNorm": _batch_norm, "Scale": _scale, "Eltwise": _eltwise, "Power": _power, "LSTM": _lstm,
    "SoftmaxWithLoss": _softmax_loss, "Slice": _slice, "Reshape": _reshape, "Flatten": _reshape,
    "Silence": lambda to, layer, index, *xs: (),
    "Split": lambda to, layer, index, x: (x,) * len(layer.param.top),
    "Concat": lambda to, layer, index, *xs: to.function(
        torch.cat, xs, layer.param.concat_param.axis),
    "Softmax": lambda to, layer, index, x: to.function(
        torch.softmax, x, layer.param.softmax_param.axis),
    "Sigmoid": lambda to, layer, index, x: to.function(torch.sigmoid, x),
    "TanH": lambda to, layer, index, x: to.function(torch.tanh, x),
}

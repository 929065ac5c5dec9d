"""A net of one layer and its inputs, for checking the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import ArrayLike

from .. import randomness
from ..layer import TEST, layer_class
from ..net import Net
from ..proto import LayerParameter, NetParameter
from ..proto.text import parse_text


class OneLayerNet:
    """A net that feeds arrays to one layer, and reads what comes out of it both ways.

    Args:
        layer: the text of the layer as in a prototxt, with or without ``layer { }`` around it, or
            its LayerParameter.  Its bottoms are the inputs and its top is ``y`` unless it says so.
        inputs: the arrays of the bottoms, by name.
        params: the values of the layer's parameters; default: random ones of the seed.
        phase: TRAIN or TEST.  device, dtype: what the net is made for.
        seed: of the parameters, and of what is random in the layer.
    """

    def __init__(self, layer: str | LayerParameter, inputs: Mapping[str, ArrayLike], *,
                 params: Sequence[ArrayLike] | None = None, phase: int = TEST,
                 device: str = "numpy", dtype: str = "float32", seed: int = 0):
        self.inputs = {name: numpy.asarray(array, dtype) for name, array in inputs.items()}
        self.net = Net(_net_of(layer, self.inputs), phase, device=device, dtype=dtype, seed=seed)
        self.layer = self.net.layers[-1]
        self.where = f"{self.layer.where} on {device} {dtype}"
        blobs = self.net.blobs
        self.bottoms = [blobs[name] for name in self.layer.param.bottom]
        self.tops = [blobs[name] for name in self.layer.param.top]
        self.params = list(self.layer.blobs)
        self.set_params(_random(self.params, seed) if params is None else params)

    def set_params(self, values: Sequence[ArrayLike]) -> None:
        """Write the parameters.  Errors: AssertionError for another number or shape of them."""
        if len(values) != len(self.params):
            raise AssertionError(f"{self.where}: has {len(self.params)} parameters, "
                                 f"got {len(values)}")
        for i, (blob, value) in enumerate(zip(self.params, values)):
            if numpy.shape(value) != blob.shape:
                raise AssertionError(f"{self.where}: parameter {i} has shape {blob.shape}, "
                                     f"got {numpy.shape(value)}")
            blob.data[...] = value

    def reshape(self, inputs: Mapping[str, ArrayLike]) -> None:
        """Take other inputs, of other shapes."""
        for name, array in inputs.items():
            self.inputs[name] = numpy.asarray(array, self.net.dtype)
            self.net.blobs[name].reshape(*self.inputs[name].shape)
        self.net.reshape()

    def forward(self, fill: float = numpy.nan) -> list[numpy.ndarray]:
        """Feed the inputs, run the layer, return its tops; always as the first pass of a net.

        fill: what the tops hold before.
        """
        for blob in self.tops:
            blob.data[...] = fill
        for name, array in self.inputs.items():
            self.net.blobs[name].data[...] = array
        self.net.tick = 0  # what is random is a function of the number of the pass
        self.net.run_forward()
        return copies(self.tops)

    def backward(self, top_diffs: Sequence[ArrayLike], fill: float = numpy.nan,
                 skip: int | None = None) -> list[numpy.ndarray]:
        """Run backward from diffs of the tops; return those of the bottoms and the parameters.

        fill: what the bottoms' diffs hold before; the parameters' stay as they are.
        skip: the index of a bottom whose gradient is not asked for.
        """
        for blob in self.bottoms:
            blob.diff[...] = fill
        for blob, diff in zip(self.tops, top_diffs):  # after the bottoms: in place they are one
            blob.diff[...] = diff
        wanted = [i in self.gradient_bottoms and i != skip for i in range(len(self.bottoms))]
        last = len(self.net.layers) - 1
        self.layer.backward(self.net.graph.tops_of(last), wanted, self.net.graph.bottoms_of(last))
        return copies(self.bottoms + self.params, "diff")

    def top_weights(self, ignored: Sequence[int] = ()) -> list[numpy.ndarray]:
        """Random diffs for the tops, from -1 to 1, away from 0; zeros for those ``ignored``."""
        rng = randomness.generator(0, "top weights")
        weights = []
        for i, blob in enumerate(self.tops):
            values = rng.uniform(0.3, 1, blob.shape) * rng.choice([-1, 1], blob.shape)
            weights.append(numpy.asarray(0 * values if i in ignored else values))
        return weights

    @property
    def gradient_bottoms(self) -> list[int]:
        """The indices of the bottoms that get a gradient."""
        return [i for i in range(len(self.bottoms)) if i not in self.layer.no_gradient]

    @property
    def diff_names(self) -> list[str]:
        """What messages call the arrays that ``backward`` returns."""
        return ([f"{self.where}: diff of bottom '{blob.name}'" for blob in self.bottoms]
                + [f"{self.where}: diff of parameter {i}" for i in range(len(self.params))])


def copies(blobs, part: str = "data") -> list[numpy.ndarray]:
    """Copies of the data, or of the diffs, of some blobs."""
    return [getattr(blob, part).copy() for blob in blobs]


def _net_of(layer: str | LayerParameter, inputs: Mapping[str, numpy.ndarray]) -> NetParameter:
    net = NetParameter(name="check", force_backward=True)
    for name, array in inputs.items():
        fed = net.layer.add(name=f"input {name}", type="Input", top=[name])
        fed.input_param.shape.add().dim.extend(array.shape)
    checked = net.layer.add()
    checked.CopyFrom(_parsed(layer))
    checked.name = checked.name or "l"
    if not checked.bottom:
        checked.bottom.extend(inputs)
    if not checked.top and layer_class(checked).tops != 0:
        checked.top.append("y")
    return net


def _parsed(layer: str | LayerParameter) -> LayerParameter:
    if not isinstance(layer, str):
        return layer
    if layer.lstrip().startswith("layer"):
        return parse_text(layer, NetParameter, "layer").layer[0]
    return parse_text(layer, LayerParameter, "layer", strict=True)


def _random(params, seed: int) -> list[numpy.ndarray]:
    rng = randomness.generator(seed, "parameters")
    return [rng.normal(0, 1, blob.shape) for blob in params]

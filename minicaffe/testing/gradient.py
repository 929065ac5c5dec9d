"""Gradients checked by central differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import ArrayLike

from ..layer import TEST
from ..proto import LayerParameter
from .comparison import assert_close
from .one_layer import OneLayerNet

CORNER = 1e-2  # slopes on both sides of a point that differ by more make it a corner


def check_gradient(layer: str | LayerParameter, inputs: Mapping[str, ArrayLike], *,
                   params: Sequence[ArrayLike] | None = None, phase: int = TEST,
                   device: str = "numpy", tolerance: float = 1e-6, step: float = 1e-4,
                   kinks: bool = False, ignored_tops: Sequence[int] = (), seed: int = 0) -> None:
    """Check a layer's backward pass against its forward pass, in float64.

    With ``f`` the sum of all tops' elements times random weights, each element of the diffs is
    compared with ``(f(x + step) - f(x - step)) / (2 * step)``: those of every bottom that has a
    gradient, and of every parameter that learns.

    Args:
        layer, inputs, params, phase, seed: as :class:`OneLayerNet` takes them.
        device: where the passes run.
        tolerance: the largest difference, relative to the largest element of the gradient.
        step: how far elements are moved; f's values should have a size of about 1.
        kinks: True to leave out elements at which f has a corner (ReLU's 0, a tie of maxima).
        ignored_tops: indices of tops that have no gradient, such as Pooling's mask.

    Errors: AssertionError naming the array, the index and both values.
    """
    net = OneLayerNet(layer, inputs, params=params, phase=phase, device=device, dtype="float64",
                      seed=seed)
    weights = net.top_weights(ignored_tops)
    net.forward()
    diffs = net.backward(weights)
    bottoms = len(net.bottoms)
    frozen = {bottoms + parameter.index for parameter in net.net.learnable if not parameter.lr_mult}
    for i in [*net.gradient_bottoms, *range(bottoms, len(diffs))]:
        if i in frozen:
            continue
        expected, corner = _numeric_gradient(net, i, weights, step)
        got, name = diffs[i], f"{net.diff_names[i]} against central differences"
        if got.shape == expected.shape and kinks:
            if corner.size and corner.all():
                raise AssertionError(f"{name}: every element is a corner, none is left to check")
            got = numpy.where(corner, expected, got)
        assert_close(got, expected, tolerance, name)


def _numeric_gradient(net: OneLayerNet, index: int, weights: list[numpy.ndarray], step: float
                      ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The gradient with respect to bottom or parameter ``index``, and where f has a corner."""
    def values() -> numpy.ndarray:
        if index < len(net.bottoms):
            return net.inputs[net.bottoms[index].name]
        return net.params[index - len(net.bottoms)].data  # asked for anew: it marks a change

    def moved(element: int, value: float) -> float:
        values().flat[element] = value
        return sum((w * y).sum() for w, y in zip(weights, net.forward()))

    shape = values().shape
    left, right = numpy.zeros(values().size), numpy.zeros(values().size)
    for element in range(values().size):
        value = values().flat[element]
        here = moved(element, value)
        right[element] = (moved(element, value + step) - here) / step
        left[element] = (here - moved(element, value - step)) / step
        values().flat[element] = value
    corner = numpy.abs(right - left) > CORNER * numpy.maximum(1, numpy.abs(right + left))
    return ((left + right) / 2).reshape(shape), corner.reshape(shape)

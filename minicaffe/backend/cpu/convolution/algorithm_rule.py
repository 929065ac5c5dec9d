"""Which algorithm computes a convolution: a rule of its shape, the same on every run.

The rule comes from measurements made once (see docs/performance.md), not from any at run time, so
that results depend on the shape alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from ....window import Window
from . import depthwise, weight_gradient
from . import panels as convolution
from .winograd import forward as winograd
from .winograd import gradient as winograd_gradient


class Algorithm(NamedTuple):
    """One of the three products of a convolution, and how.

    run: called with a workspace, the number of threads, and the arguments of the primitive.
    work: the time it takes, about, for each product of numbers that im2col takes.
    """

    name: str
    run: Callable
    work: float = 1


class Algorithms(NamedTuple):
    """How y, dW and dx of a convolution are computed."""

    forward: Algorithm
    weight: Algorithm
    data: Algorithm

    @property
    def names(self) -> tuple[str, str, str]:
        return self.forward.name, self.weight.name, self.data.name


@functools.lru_cache(maxsize=1024)
def choose(x_shape: tuple[int, ...], w_shape: tuple[int, ...], window: Window, group: int,
           forced: str | None = None) -> Algorithms:
    """The algorithms for a convolution of x by w, or those of the name that is forced."""
    if forced is None and depthwise.suits(x_shape, w_shape, window, group):
        return Algorithms(*(Algorithm("depthwise", getattr(depthwise, product), 4)
                            for product in _PRODUCTS))
    spatial = tuple(window.output_shape(x_shape[2:], "convolution"))
    panels = Algorithms(
        Algorithm("im2col", convolution.forward),
        Algorithm("im2col", weight_gradient.backward_weight),
        Algorithm("im2col" if convolution.turns(window, x_shape[2:], spatial, w_shape[1])
                  else "col2im", convolution.backward_data))
    if forced == "im2col":
        return panels
    return Algorithms(*(
        _winograd(product) if forced or winograd.suits(x_shape, w_shape, window, group,
                                                       product == "backward_weight") else other
        for product, other in zip(_PRODUCTS, panels)))


_PRODUCTS = ("forward", "backward_weight", "backward_data")


def _winograd(product: str) -> Algorithm:
    edge = winograd.EDGE
    module = winograd_gradient if product == "backward_weight" else winograd
    run = functools.partial(getattr(module, product), edge=edge)
    return Algorithm(f"winograd {edge}x{edge}", run, (edge + 2)**2 / (9 * edge**2))

"""TanH: the hyperbolic tangent."""

from __future__ import annotations

from ..elementwise import tanh
from ..layer import Layer


def tanh_backward(y, dy):
    """``(1 - y^2) * dy``, where y is the tangent; as a product it is right near y = 1 too."""
    return (1 - y) * (1 + y) * dy


class TanH(Layer):
    """``y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))``;  ``dx = (1 - y^2) * dy``.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: tanh_param.engine, which changes nothing.
    Source: LeCun et al., Efficient BackProp (1998), on why it trains faster than Sigmoid.
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("top",)
    only_primitives = True

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(tanh, top[0].data, bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(tanh_backward, bottom[0].diff, top[0].data, top[0].diff)

"""Swish: the bottom times its own sigmoid."""

from __future__ import annotations

from ..elementwise import multiply, sigmoid
from .buffered import _Buffered


def swish(x, beta):
    """``x * sigmoid(beta * x)``."""
    return x * sigmoid(beta * x)


def swish_and_slope(x, beta):
    """The same, and its slope."""
    s = sigmoid(beta * x)
    y = x * s
    return y, s + beta * y * (1 - s)


class Swish(_Buffered):
    """``y = x * s`` with ``s = 1 / (1 + exp(-beta * x))``;  ``dx = (s + beta * y * (1 - s)) * dy``.

    Neither x nor s can be told from y, so forward leaves the slope for backward.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: beta (1).
    Source: Ramachandran, Zoph and Le (2017).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ()
    only_primitives = True

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])
        self.slope = self.backward_buffer(bottom[0].shape)

    def forward(self, bottom, top):
        x, y, beta = bottom[0].data, top[0].data, self.param.swish_param.beta
        if self.slope is None:
            self.backend.map(swish, y, x, beta)
        else:
            self.backend.map(swish_and_slope, (y, self.slope), x, beta)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(multiply, bottom[0].diff, self.slope, top[0].diff)

"""Swish: the bottom times its own sigmoid."""

from __future__ import annotations

from ..layer import Layer
from .sigmoid import sigmoid


def swish(x, beta):
    """``x * sigmoid(beta * x)``, and its slope."""
    s = sigmoid(beta * x)
    y = x * s
    return y, s + beta * y * (1 - s)


def swish_backward(slope, dy):
    """``slope * dy``."""
    return slope * dy


class Swish(Layer):
    """``y = x * s`` with ``s = 1 / (1 + exp(-beta * x))``;  ``dx = (s + beta * y * (1 - s)) * dy``.

    Neither x nor s can be told from y, so forward leaves the slope for backward.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: beta (1).
    Source: Ramachandran, Zoph and Le (2017).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ()

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])
        self.slope = self.buffer(bottom[0].shape)

    def forward(self, bottom, top):
        self.backend.map(swish, (top[0].data, self.slope), bottom[0].data,
                         self.param.swish_param.beta)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(swish_backward, bottom[0].diff, self.slope, top[0].diff)

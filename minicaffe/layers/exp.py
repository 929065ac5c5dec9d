"""Exp: a power with the bottom as exponent."""

from __future__ import annotations

import math

from ..elementwise import exp
from ..errors import ParameterError
from ..layer import Layer


def exponential(x, scale, shift):
    """``exp(scale * x + shift)``."""
    return exp(scale * x + shift)


def exponential_backward(y, dy, scale):
    """``scale * y * dy``, where y is the exponential."""
    return scale * y * dy


class Exp(Layer):
    """``y = base ^ (scale * x + shift)``;  ``dx = scale * log(base) * y * dy``.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: base (-1, which stands for e), scale (1), shift (0).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("top",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.exp_param
        if param.base != -1 and not 0 < param.base < math.inf:
            raise ParameterError(self.where, "base above 0, or -1 for e", param.base)
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        self.scale, self.shift = log_base * param.scale, log_base * param.shift

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(exponential, top[0].data, bottom[0].data, self.scale, self.shift)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(exponential_backward, bottom[0].diff, top[0].data, top[0].diff,
                             self.scale)

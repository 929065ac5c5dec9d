"""Log: the logarithm."""

from __future__ import annotations

import math

from ..elementwise import exp, log
from ..errors import ParameterError
from ..layer import Layer


def logarithm(x, scale, shift, log_base):
    """``log(scale * x + shift) / log_base``."""
    return log(scale * x + shift) / log_base


def logarithm_backward(x, dy, scale, shift, log_base):
    """``scale / (log_base * (scale * x + shift)) * dy``."""
    return scale / (log_base * (scale * x + shift)) * dy


def logarithm_backward_in_place(y, dy, scale, shift, log_base):
    """The same, of y: ``scale * x + shift = exp(log_base * y)``."""
    return scale / log_base * exp(-log_base * y) * dy


class Log(Layer):
    """``y = log(z) / log(base)``;  ``dx = scale / (log(base) * z) * dy``

    ``z = scale * x + shift``

    y is NaN where z is below 0.  In place, backward has z from y: ``z = exp(log(base) * y)``.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: base (-1, which stands for e), scale (1), shift (0).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.log_param
        if param.base != -1 and not (0 < param.base < math.inf and param.base != 1):
            raise ParameterError(self.where, "base above 0 and other than 1, or -1 for e",
                                 param.base)
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        self.numbers = param.scale, param.shift, log_base
        self.gradient = (logarithm_backward_in_place if bottom[0] is top[0]
                         else logarithm_backward)

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(logarithm, top[0].data, bottom[0].data, *self.numbers)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(self.gradient, bottom[0].diff, bottom[0].data, top[0].diff,
                             *self.numbers)

"""Power: shift, scale and raise to a power."""

from __future__ import annotations

from ..elementwise import multiply, positive, power
from .buffered import _SavesInput


def linear(x, scale, shift):
    """``shift + scale * x``."""
    return shift + scale * x


def powered(x, exponent, scale, shift):
    """``(shift + scale * x) ^ exponent``."""
    return power(shift + scale * x, exponent)


def powered_backward(x, dy, exponent, scale, shift):
    """``exponent * scale * (shift + scale * x) ^ (exponent - 1) * dy``."""
    return exponent * scale * power(shift + scale * x, exponent - 1) * dy


class Power(_SavesInput):
    """``y = z ^ power``;  ``dx = power * scale * z ^ (power - 1) * dy``

    ``z = shift + scale * x``

    With a power or a scale of 0, y is a constant (``0 ^ 0`` is 1) and dx is 0, for any x.  y is
    NaN where z is below 0 and the power is not whole.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: power (1), scale (1), shift (0).
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)  # in place a power can lose the sign of x: it saves a copy
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.power_param
        self.power, self.scale, self.shift = param.power, param.scale, param.shift
        self.is_constant = self.power * self.scale == 0
        self.is_linear = self.power == 1

    def reads(self):
        return () if self.is_constant or self.is_linear else super().reads()

    def forward(self, bottom, top):
        if self.is_constant:
            self.backend.map(positive, top[0].data, float(power(self.shift, self.power)))
        elif self.is_linear:
            self.run(linear, bottom, top, self.scale, self.shift)
        else:
            self.run(powered, bottom, top, self.power, self.scale, self.shift)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        if self.is_constant:
            dx[...] = 0
        elif self.is_linear:
            self.backend.map(multiply, dx, dy, self.scale)
        else:
            self.backend.map(powered_backward, dx, self.input(bottom), dy, self.power,
                             self.scale, self.shift)

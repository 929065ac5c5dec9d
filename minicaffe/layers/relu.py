"""ReLU: the rectified linear unit, with an optional slope on its negative side."""

from __future__ import annotations

from ..elementwise import leaky, where
from ..errors import ParameterError
from ..layer import Layer


def leaky_backward(x, dy, slope):
    """``dy if x > 0 else slope * dy``."""
    return where(x > 0, dy, slope * dy)


class ReLU(Layer):
    """``y = x if x > 0 else negative_slope * x``;  ``dx = dy if x > 0 else negative_slope * dy``.

    In place, backward sees y where x was: their signs agree only for a negative_slope >= 0.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: negative_slope (0).
    Source: Nair and Hinton (2010); with a slope Maas et al. (2013).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("bottom",)
    backward_reads_signs = True
    keeps_signs = True  # in place
    only_primitives = True

    def setup(self, bottom, top):
        self.slope = self.param.relu_param.negative_slope
        self.in_place = self.slope >= 0
        if not self.in_place and bottom[0] is top[0]:
            raise ParameterError(self.where, "negative_slope of 0 or more in place", self.slope,
                                 "give the top a name of its own.")

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(leaky, top[0].data, bottom[0].data, self.slope)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(leaky_backward, bottom[0].diff, bottom[0].data, top[0].diff,
                             self.slope)

"""ELU: the exponential linear unit."""

from __future__ import annotations

from ..elementwise import exp, expm1, minimum, where
from ..errors import ParameterError
from ..layer import Layer


def elu(x, alpha):
    """``x if x > 0 else alpha * (exp(x) - 1)``."""
    return where(x > 0, x, alpha * expm1(minimum(x, 0)))


def elu_backward(x, dy, alpha):
    """``dy if x > 0 else alpha * exp(x) * dy``."""
    return where(x > 0, dy, alpha * exp(minimum(x, 0)) * dy)


def elu_backward_in_place(y, dy, alpha):
    """The same, of y: it has the sign of x, and ``alpha * exp(x) = y + alpha`` where x <= 0."""
    return where(y > 0, dy, (y + alpha) * dy)


class ELU(Layer):
    """``y = x if x > 0 else alpha * (exp(x) - 1)``;  ``dx = dy if x > 0 else alpha * exp(x) * dy``.

    In place, backward sees y where x was: their signs agree only for an alpha >= 0.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: alpha (1).
    Source: Clevert, Unterthiner and Hochreiter (2015).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("bottom",)
    keeps_signs = True  # in place
    only_primitives = True

    def setup(self, bottom, top):
        self.alpha = self.param.elu_param.alpha
        self.in_place = self.alpha >= 0
        shared = bottom[0] is top[0]
        if shared and not self.in_place:
            raise ParameterError(self.where, "alpha of 0 or more in place", self.alpha,
                                 "give the top a name of its own.")
        self.gradient = elu_backward_in_place if shared else elu_backward

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(elu, top[0].data, bottom[0].data, self.alpha)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(self.gradient, bottom[0].diff, bottom[0].data, top[0].diff,
                             self.alpha)

"""BNLL: the binomial normal log likelihood, also called softplus."""

from __future__ import annotations

from ..elementwise import abs, exp, expm1, log1p, maximum, sigmoid
from ..layer import Layer


def softplus(x):
    """``log(1 + exp(x))``, with no exponential of a positive number, which could overflow."""
    return maximum(x, 0) + log1p(exp(-abs(x)))


def softplus_backward(x, dy):
    """``sigmoid(x) * dy``."""
    return sigmoid(x) * dy


def softplus_backward_in_place(y, dy):
    """The same, of y: ``sigmoid(x) = 1 - exp(-y)``."""
    return -expm1(-y) * dy


class BNLL(Layer):
    """``y = log(1 + exp(x))``;  ``dx = dy / (1 + exp(-x))``, in place as ``(1 - exp(-y)) * dy``.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Source: Dugas et al. (2001).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        self.gradient = (softplus_backward_in_place if bottom[0] is top[0] else softplus_backward)

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(softplus, top[0].data, bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(self.gradient, bottom[0].diff, bottom[0].data, top[0].diff)

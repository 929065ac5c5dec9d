"""Sigmoid: the logistic function."""

from __future__ import annotations

from ..elementwise import sigmoid
from ..layer import Layer


def sigmoid_backward(y, dy):
    """``y * (1 - y) * dy``, where y is the sigmoid."""
    return y * (1 - y) * dy


class Sigmoid(Layer):
    """``y = 1 / (1 + exp(-x))``;  ``dx = y * (1 - y) * dy``.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: sigmoid_param.engine, which changes nothing.
    Source: Rumelhart, Hinton and Williams (1986).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("top",)
    only_primitives = True

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(sigmoid, top[0].data, bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(sigmoid_backward, bottom[0].diff, top[0].data, top[0].diff)

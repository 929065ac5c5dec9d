"""Softmax: scores to probabilities."""

from __future__ import annotations

import math

from ..layer import Layer
from .buffered import _Buffered


def class_shape(shape, axis: int) -> tuple[int, int, int]:
    """(outer, C, inner): the classes on ``axis``, and what lies before and behind it."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:])


def as_classes(array, axis: int):
    """View an array as (outer, C, inner), with C its axis ``axis``."""
    return array.reshape(class_shape(array.shape, axis))


def expect_labels(layer: Layer, x, axis: int, label, hint: str) -> None:
    """Errors: ShapeError unless there is one label for each score vector of x."""
    outer, classes, inner = class_shape(x.shape, axis)
    places = outer * inner
    layer.expect(classes or not places, "1 or more classes", x.shape)
    layer.expect(label.count == places, f"{places} labels, one for each score vector of {x.shape}",
                 label.shape, hint)


class Softmax(_Buffered):
    """Probabilities of C classes, at each place along the other axes.

    ``y_c = exp(x_c) / sum over k of exp(x_k)``;  ``dx_c = y_c * (dy_c - sum over k of dy_k * y_k)``

    Bottom: x, any shape with an axis ``axis`` of C.  Top: y, the same; may be in place.
    Params: axis (1).
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("top",)
    only_primitives = True

    def reshape(self, bottom, top):
        self.classes = self.axis(self.param.softmax_param.axis, bottom[0])
        top[0].reshape_like(bottom[0])
        outer, C, inner = class_shape(bottom[0].shape, self.classes)
        self.products = self.backward_buffer((outer, C, inner))
        self.sums = self.backward_buffer((outer, 1, inner))

    def forward(self, bottom, top):
        self.backend.softmax(as_classes(bottom[0].data, self.classes),
                             as_classes(top[0].data, self.classes))

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        xp = self.xp
        y, dy = (as_classes(array, self.classes) for array in (top[0].data, top[0].diff))
        dx = as_classes(bottom[0].diff, self.classes)
        xp.multiply(dy, y, out=self.products)
        xp.sum(self.products, axis=1, keepdims=True, out=self.sums)
        xp.subtract(dy, self.sums, out=dx)
        dx *= y

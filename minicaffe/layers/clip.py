"""Clip: limit values to a range."""

from __future__ import annotations

from ..elementwise import maximum, minimum, where
from ..errors import ParameterError
from ..layer import Layer


def clip(x, low, high):
    """x, but no less than ``low`` and no more than ``high``."""
    return maximum(low, minimum(x, high))


def clip_backward(x, dy, low, high):
    """``dy if low <= x <= high else 0``."""
    return where((x >= low) & (x <= high), dy, 0)


def clip_backward_in_place(y, dy, low, high):
    """``dy if low < y < high else 0``: a y on the edge was most likely clipped to it."""
    return where((y > low) & (y < high), dy, 0)


class Clip(Layer):
    """``y = max(min, min(x, max))``;  ``dx = dy if min <= x <= max else 0``.

    In place, backward sees y where x was, and takes each y on an edge for one that was clipped.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: min, max, both required.
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.clip_param
        if not (param.HasField("min") and param.HasField("max")):
            raise ParameterError(self.where, "clip_param { min max }, both required")
        self.low, self.high = param.min, param.max
        if not self.low <= self.high:
            raise ParameterError(self.where, "a min that is no more than max",
                                 f"min {self.low} and max {self.high}")
        self.gradient = clip_backward_in_place if bottom[0] is top[0] else clip_backward

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(clip, top[0].data, bottom[0].data, self.low, self.high)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(self.gradient, bottom[0].diff, bottom[0].data, top[0].diff,
                             self.low, self.high)

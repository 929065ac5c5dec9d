"""Bias: add one number to each channel."""

from __future__ import annotations

from ..elementwise import add, positive
from .broadcast import _Broadcast


class Bias(_Broadcast):
    """``y = x + b``, where b repeats along the axes it lacks;  ``dx = dy``, ``db = sum of dy``.

    Bottom: x, any shape; optionally b, whose axes are those of x from ``axis`` on.
    Top: y, the shape of x; may be in place.
    Params: axis (1), num_axes (1; -1: all, 0: b is one number), filler (0).
    Blobs: b, unless it is a bottom.
    """

    backward_reads = ()
    only_primitives = True

    def setup(self, bottom, top):
        self.setup_operand(bottom, self.param.bias_param, 0)

    def forward(self, bottom, top):
        self.run(add, bottom, top, self.operand(bottom))

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff
        self.add_gradient(positive, propagate_down, bottom, dy)
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].diff[...] = dy

"""AbsVal: the absolute value."""

from __future__ import annotations

from ..elementwise import abs, sign
from ..layer import Layer


def abs_backward(x, dy):
    """``sign(x) * dy``."""
    return sign(x) * dy


class AbsVal(Layer):
    """``y = |x|``;  ``dx = sign(x) * dy``, which is 0 for x = 0.

    Bottom: x, any shape.  Top: y, the same; not in place, which would lose the signs.
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)
    only_primitives = True

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(abs, top[0].data, bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.backend.map(abs_backward, bottom[0].diff, bottom[0].data, top[0].diff)

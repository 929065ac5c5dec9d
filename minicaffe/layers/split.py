"""Split: one blob for several consumers.  Nets insert it by themselves where a blob fans out."""

from __future__ import annotations

from ..layer import Layer


class Split(Layer):
    """Each top is the bottom; its gradient is the sum of theirs.

    ``y_k = x``; ``dx = sum over k of dy_k``

    Bottom: x, any shape.  Top: one or more, sharing x's memory.
    """

    bottoms = 1
    tops = (1, None)
    backward_reads = ()

    def reshape(self, bottom, top):
        for y in top:
            y.reshape_like(bottom[0])
            y.share(bottom[0], "data")

    def forward(self, bottom, top):
        pass  # the tops' data is the bottom's

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx = bottom[0].diff
            dx[...] = top[0].diff
            for y in top[1:]:
                dx += y.diff

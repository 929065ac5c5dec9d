"""Silence: swallow blobs that nobody uses."""

from __future__ import annotations

from ..layer import Layer


class Silence(Layer):
    """Takes bottoms and makes nothing, so that they are no outputs of the net; their diffs are 0.

    Bottom: one or more, any shape.  Top: none.
    """

    bottoms = (1, None)
    tops = 0
    backward_reads = ()

    def backward(self, top, propagate_down, bottom):
        for x, wanted in zip(bottom, propagate_down):
            if wanted:
                x.diff[...] = 0

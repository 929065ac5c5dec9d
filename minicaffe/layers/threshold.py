"""Threshold: whether a value is above a limit."""

from __future__ import annotations

from ..elementwise import where
from ..layer import Layer


def above(x, threshold):
    """``1 if x > threshold else 0``."""
    return where(x > threshold, 1, 0)


class Threshold(Layer):
    """``y = 1 if x > threshold else 0``.  No gradient: a net that needs one is refused.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: threshold (0).
    """

    bottoms = tops = 1
    in_place = True
    no_gradient = (0,)
    backward_reads = ()
    only_primitives = True

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.backend.map(above, top[0].data, bottom[0].data,
                         self.param.threshold_param.threshold)

"""Split: one blob for several consumers.  Nets insert it by themselves where a blob fans out."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ..elementwise import positive
from ..layer import Layer

FEW = 4  # diffs that one formula adds up: each number of them is compiled for itself


@functools.cache
def sum_of(n: int) -> Callable:
    """The formula ``x_1 + .. + x_n``."""
    if n == 1:
        return positive
    others = sum_of(n - 1)
    return lambda x, *rest: others(*rest) + x


class Split(Layer):
    """Each top is the bottom; its gradient is the sum of theirs.

    ``y_k = x``; ``dx = sum over k of dy_k``

    Bottom: x, any shape.  Top: one or more, sharing x's memory.
    """

    bottoms = 1
    tops = (1, None)
    backward_reads = ()
    diff_in_place = True
    only_primitives = True

    def setup(self, bottom, top):
        self.diff_in_place = self.diff_in_place and len(top) <= FEW

    def reshape(self, bottom, top):
        for y in top:
            y.reshape_like(bottom[0])
            y.share(bottom[0], "data")

    def forward(self, bottom, top):
        pass  # the tops' data is the bottom's

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx, diffs = bottom[0].diff, [y.diff for y in top]
            self.backend.map(sum_of(min(len(top), FEW)), dx, *diffs[:FEW])
            for dy in diffs[FEW:]:
                self.backend.map(sum_of(2), dx, dx, dy)

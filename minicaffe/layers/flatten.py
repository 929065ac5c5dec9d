"""Flatten: several axes made one."""

from __future__ import annotations

import math

from .reshape import _Reshaped


class Flatten(_Reshaped):
    """The axes from ``axis`` to ``end_axis`` made one; the elements stay in their order.

    ``y = x``;  ``dx = dy``

    Bottom: x, any shape with these axes; (N, C, H, W) by default becomes (N, C * H * W).
    Top: y, sharing x's memory.
    Params: axis (1), end_axis (-1, the last one).
    """

    only_primitives = True

    def shape_of(self, x):
        param = self.param.flatten_param
        first, last = self.axis(param.axis, x), self.axis(param.end_axis, x)
        self.expect(first <= last, f"an end_axis not before axis {first}", last)
        return *x.shape[:first], math.prod(x.shape[first:last + 1]), *x.shape[last + 1:]

"""EuclideanLoss: half the mean squared distance, for regression."""

from __future__ import annotations

import math

from ..layer import Layer


def squared_difference(a, b):
    """``(a - b)^2``."""
    difference = a - b
    return difference * difference


def scaled_difference(a, b, scale):
    """``scale * (a - b)``."""
    return scale * (a - b)


class EuclideanLoss(Layer):
    """``y = 1 / (2 * N) * sum of (a - b)^2``;  ``da = dy / N * (a - b)``, ``db = -da``.

    N is the number of samples, the first axis.

    Bottom: a, any shape; b, with as many samples and elements.  Top: y, one number.
    Errors: ShapeError for counts that do not fit.
    """

    bottoms = 2
    tops = 1
    is_loss = True
    backward_reads = ("bottom",)

    def reshape(self, bottom, top):
        a, b = bottom
        self.expect(a.shape[:1] == b.shape[:1] and a.count == b.count,
                    f"two bottoms of equal count, with {math.prod(a.shape[:1])} samples each",
                    f"{a.shape} and {b.shape}")
        self.samples = max(1, math.prod(a.shape[:1]))
        top[0].reshape()

    def forward(self, bottom, top):
        y = top[0].data
        self.backend.sums(squared_difference, y, bottom[0].data, bottom[1].data)
        y /= 2 * self.samples

    def backward(self, top, propagate_down, bottom):
        scale = top[0].diff / self.samples
        for this, other, wanted in zip(bottom, reversed(bottom), propagate_down):
            if wanted:
                self.backend.map(scaled_difference, this.diff, this.data, other.data, scale)

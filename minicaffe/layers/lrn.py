"""LRN: divide each element by the size of those around it."""

from __future__ import annotations

from collections.abc import Callable

from ..elementwise import power, sqrt
from ..errors import ParameterError
from ..proto import LRNParameter
from .buffered import _Buffered


def square(x):
    """``x^2``."""
    return x * x


def shrinking(beta: float) -> Callable:
    """The formula ``s^-beta``."""
    if beta == 0.75:  # as in all nets known: two square roots take a tenth of a power's time
        return lambda s: 1 / (sqrt(s) * sqrt(sqrt(s)))
    return lambda s: power(s, -beta)


def normalized(shrink: Callable) -> Callable:
    """The formula ``x * s^-beta`` with ``s = k + share * total``."""
    return lambda x, total, k, share: x * shrink(k + share * total)


def weighted(shrink: Callable) -> Callable:
    """The formula ``dy * x * s^(-beta - 1)``."""
    def formula(x, dy, total, k, share):
        s = k + share * total
        return dy * x * shrink(s) / s
    return formula


def normalized_backward(shrink: Callable) -> Callable:
    """The formula ``dy * s^-beta - 2 * share * beta * x * around``."""
    return lambda x, dy, total, around, k, share, beta: (
        dy * shrink(k + share * total) - 2 * share * beta * x * around)


class LRN(_Buffered):
    """``y = x / s^beta``,  ``s = k + alpha / n * sum of x^2`` over the n elements around x.

    ``dx = dy / s^beta - 2 * alpha * beta / n * x * (sum of dy * x / s^(beta + 1))``, the sum over
    the same elements

    ACROSS_CHANNELS: they are those of ``local_size`` channels at the same place.
    WITHIN_CHANNEL: a square of ``local_size`` by ``local_size`` in the same channel; k is 1.
    Where they reach over an edge they count as zeros.

    Bottom: x (N, C, H, W).  Top: y, the same.
    Params: local_size (5), odd; alpha (1), beta (0.75), k (1), norm_region (ACROSS_CHANNELS).
    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Networks (2012).
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.lrn_param
        self.size, alpha = param.local_size, param.alpha
        if self.size % 2 == 0:
            raise ParameterError(self.where, "an odd local_size", self.size)
        if param.norm_region == LRNParameter.WITHIN_CHANNEL:
            self.axes, k = (2, 3), 1.0
        else:
            self.axes, k = (1,), param.k
        self.numbers = k, alpha / self.size ** len(self.axes)
        self.beta = param.beta
        shrink = shrinking(param.beta)
        self.normalized, self.weighted, self.normalized_backward = (
            formula(shrink) for formula in (normalized, weighted, normalized_backward))

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.expect(len(shape) == 4, "a bottom of 4 axes (N, C, H, W)", shape)
        top[0].reshape(*shape)
        self.total, self.around = self.buffer(shape), self.backward_buffer(shape)

    def forward(self, bottom, top):
        x, y = bottom[0].data, top[0].data
        self.backend.map(square, y, x)
        self.backend.neighbour_sums(y, self.total, self.size, self.axes)
        self.backend.map(self.normalized, y, x, self.total, *self.numbers)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            x, dx, dy = bottom[0].data, bottom[0].diff, top[0].diff
            self.backend.map(self.weighted, dx, x, dy, self.total, *self.numbers)
            self.backend.neighbour_sums(dx, self.around, self.size, self.axes)
            self.backend.map(self.normalized_backward, dx, x, dy, self.total, self.around,
                             *self.numbers, self.beta)
